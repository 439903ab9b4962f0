"""Deploys the project's templates to an empty account, which accepts or refuses them; the functions do nothing."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import up
from cfnlint.decode import cfn_yaml
from local_cloud import server
from rooms import PROJECT
from running_cloud import REGION, Cloud
from stack import CONFIGURATION

OTHER_REGION = "eu-west-1"
SENDER = up.SENDER
# As `make up` deploys: SES knows the sender already.
LOCAL_PARAMETERS = dict(
    word.split("=") for word in CONFIGURATION["local"]["deploy"]["parameters"]["parameter_overrides"].split()
)


@contextmanager
def new_account(directory: Path) -> Iterator[Cloud]:
    """An account in which SES knows the sender's domain in one region, as `make up` sets it."""
    with server.running(directory) as port:
        account = Cloud(port, directory / "log")
        upload(account, REGION)
        upload(account, OTHER_REGION)
        up.verify_sender(port)
        yield account


def upload(account: Cloud, region: str) -> None:
    """Does what sam build and sam deploy do with the template and the files that it refers to, without the code."""
    s3, bucket = account.client("s3", region), f"packaged-{region}"
    elsewhere = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **elsewhere)

    def uploaded(path: str, body: bytes) -> str:
        s3.put_object(Bucket=bucket, Key=path, Body=body)
        return f"s3://{bucket}/{path}"

    def packaged(value: Any, folder: Path) -> Any:
        if isinstance(value, list):
            return [packaged(item, folder) for item in value]
        if not isinstance(value, dict):
            return value
        value = {name: packaged(item, folder) for name, item in value.items()}
        if "CodeUri" in value:
            value["CodeUri"] = code
        for name in ("DefinitionUri", "Location"):
            if isinstance(path := value.get(name), str):
                file = (folder / path).resolve()
                key = str(file.relative_to(PROJECT))
                if file.name == "template.yaml":
                    value[name] = template(file)
                else:
                    value[name] = uploaded(key, file.read_bytes())
        return value

    def template(file: Path) -> str:
        """The URL of a packaged template."""
        key = str(file.relative_to(PROJECT).with_suffix(".json"))
        body = packaged(cfn_yaml.load(str(file)), file.parent)
        uploaded(key, json.dumps(body).encode())
        return f"{account.endpoint_url}/{bucket}/{key}"

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("bootstrap", "")
    code = uploaded("code.zip", archive.getvalue())
    template(PROJECT / "template.yaml")


def deploy(account: Cloud, stack: str, region: str = REGION, **parameters: str) -> list[str]:
    """Deploys a stack, to the local cloud unless the parameters say otherwise; returns why that failed, or nothing."""
    parameters = {"LocalPort": "4566", "NotificationSender": SENDER} | parameters
    return account.deploy(
        stack,
        region,
        TemplateURL=f"{account.endpoint_url}/packaged-{region}/template.json",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )


def delete(account: Cloud, stack: str) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


def knows(account: Cloud, identity: str) -> bool:
    """Whether an account's SES knows an identity."""
    ses = account.client("sesv2")
    try:
        return bool(ses.get_email_identity(EmailIdentity=identity))
    except ses.exceptions.NotFoundException:
        return False
