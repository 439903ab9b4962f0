"""Packs `admit-reader` with its configuration, and deploys it for Lambda@Edge: `make deploy-edge`.

Lambda@Edge has no environment variables, so the configuration is a file in the package:
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
"""

import contextlib
import io
import json
import sys
import zipfile
from typing import Any

import boto3
import requests
from beside import PROJECT, parameters_of, sam_deploy
from stack import NAME, Stack, stack_name

SOURCE = PROJECT / "edge/content"
FILES = ("admit-reader.mjs", "pages/return-path.mjs")
PACKAGE = PROJECT / ".aws-sam/content-edge/admit-reader.zip"
PART = "content-edge"
# Lambda@Edge takes functions from there only.
REGION = "us-east-1"
# A path of the distribution: the library, where one signs in and reads how to pay. A redirect goes nowhere else.
PAGE = "/"


def configuration(user_pool_id: str, client_id: str) -> dict[str, Any]:
    """What `admit-reader` knows of the user pool, with the keys that the pool signs with at present."""
    region = user_pool_id.partition("_")[0]
    endpoint = boto3.client("cognito-idp", region_name=region).meta.endpoint_url
    address = f"{endpoint}/{user_pool_id}/.well-known/jwks.json"
    answer = requests.get(address, timeout=30)
    answer.raise_for_status()
    return {
        # The local cloud's tokens have this issuer, too.
        "issuer": f"https://cognito-idp.{region}.amazonaws.com/{user_pool_id}",
        "audience": client_id,
        "jwksUri": address,
        "keys": sorted(answer.json()["keys"], key=lambda key: key["kid"]),
        "page": PAGE,
    }


def package(settings: dict[str, Any]) -> bytes:
    """The function's package. The same function and settings give the same bytes, and so no new version."""
    content = io.BytesIO()
    config = json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as files:
        for name, body in {**{name: (SOURCE / name).read_bytes() for name in FILES}, "config.json": config}.items():
            # ZipInfo's own date is the first one that a zip file can have.
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr, entry.compress_type = 3, 0o444 << 16, zipfile.ZIP_DEFLATED
            files.writestr(entry, body)
    return content.getvalue()


def keep_logs(group: str, days: int) -> None:
    """Makes the log group in each Region of the account: a replica writes where its reader is, and may not make one."""
    for region in boto3.client("ec2", region_name=REGION).describe_regions()["Regions"]:
        logs = boto3.client("logs", region_name=region["RegionName"])
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        logs.put_retention_policy(logGroupName=group, retentionInDays=days)


def deploy(root: str, environment: str) -> str:
    """Deploys `admit-reader`, and returns the ARN of its version, for the distribution's cache behavior."""
    pool = Stack(root).outputs
    PACKAGE.parent.mkdir(parents=True, exist_ok=True)
    PACKAGE.write_bytes(package(configuration(pool["UserPoolId"], pool["UserPoolClientId"])))
    sam_deploy("stacks/content/edge-template.yaml", root, PART, environment, parameters_of(environment), REGION)
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    [stack] = cloudformation.describe_stacks(StackName=stack_name(root, PART))["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    keep_logs(outputs["LogGroup"], int(outputs["LogRetentionDays"]))
    return outputs["AdmitReaderVersionArn"]


if __name__ == "__main__":
    print(deploy(f"{NAME}-{sys.argv[1]}", sys.argv[1]))
