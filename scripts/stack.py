"""A deployed stack, on AWS or in the local cloud, for scripts and tests."""

import contextlib
import platform
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
import tomlkit
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONFIGURATION = tomlkit.parse((Path(__file__).parent.parent / "samconfig.toml").read_text())
# The name of this project: the stack of an environment is NAME-environment. samconfig.toml calls dev the default.
NAME: str = CONFIGURATION["default"]["deploy"]["parameters"]["stack_name"].removesuffix("-dev")
ENVIRONMENTS = [
    "dev" if environment == "default" else environment for environment in CONFIGURATION if environment != "version"
]


def architecture() -> str:
    """The architecture of this machine, by Lambda's name: the local cloud runs functions as its processes."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Waits until a condition holds; raises ``TimeoutError`` if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen in {seconds} s: {what}")
        time.sleep(0.2)


def of_environment(environment: str) -> "Stack":
    """The stack of an environment as `make` names them; for `local`, `make` sets `AWS_ENDPOINT_URL` to the local cloud.

    Ends the program when its stack can't be reached.
    """
    name = f"{NAME}-{environment}"
    try:
        return Stack(name)
    except (BotoCoreError, ClientError) as error:
        choices = f"ENV is one of {', '.join(ENVIRONMENTS)}; ENV=local is the local cloud, the others are on AWS."
        sys.exit(f"{name} can't be reached: {error}\n{choices}")


def stack_name(root: str, part: str) -> str:
    """The name of a stack beside the root `project-environment`: `project-part-environment`."""
    project, _, environment = root.rpartition("-")
    return f"{project}-{part}-{environment}"


class Stack:
    """The stack of this name, and its nested stacks, in the account that the environment's credentials belong to.

    Raises ``ValueError`` when two outputs with the same name have different values.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._session = boto3.Session()
        self.outputs: dict[str, str] = {}
        for key, value in self._outputs_of(name):
            if self.outputs.setdefault(key, value) != value:
                raise ValueError(f"two stacks in {name} have an output {key}, with different values")

    def _outputs_of(self, name: str) -> Iterator[tuple[str, str]]:
        """The outputs of this stack and of those nested in it."""
        cloudformation = self.client("cloudformation")
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        for output in stack.get("Outputs", []):
            yield output["OutputKey"], output["OutputValue"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=name):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                    yield from self._outputs_of(resource["PhysicalResourceId"])

    def beside(self, room: str) -> "Stack | None":
        """The stack of a room beside this one; ``None`` if it is not deployed."""
        try:
            return Stack(stack_name(self.name, room))
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
            return None

    def client(self, service: str, config: Config | None = None) -> Any:
        return self._session.client(service, config=config)

    def api_url(self, room: str) -> str:
        """The address of a room's API."""
        url = self.outputs[f"{room.title().replace('-', '')}ApiUrl"]
        endpoint = self.client("apigateway").meta.endpoint_url
        if "amazonaws.com" in endpoint:
            return url
        # The local cloud serves all APIs below one address.
        host, *stage = url.removeprefix("https://").split("/")
        return "/".join([f"{endpoint}/_aws/execute-api/{host.split('.')[0]}", *stage])

    def load_balancer(self, room: str) -> tuple[str, dict[str, str]]:
        """The address of a room's load balancer, and the headers that a request to it needs."""
        url = self.outputs[f"{room.title().replace('-', '')}LoadBalancerUrl"]
        endpoint = self.client("elbv2").meta.endpoint_url
        if "amazonaws.com" in endpoint:
            return url, {}
        # The local cloud serves all load balancers at one address.
        return endpoint, {"Host": url.partition("://")[2]}

    def distribution(self, room: str) -> tuple[str, dict[str, str]]:
        """The address of a room's distribution, and the headers that a request to it needs."""
        url = self.outputs[f"{room.title().replace('-', '')}Url"]
        endpoint = self.client("cloudfront").meta.endpoint_url
        if "amazonaws.com" in endpoint:
            return url, {}
        # Browsers find names below localhost on this machine; other programs may not.
        return endpoint, {"Host": url.partition("://")[2]}

    def create_student(self, email: str) -> "Student":
        """Creates a user unless the user exists, and signs in. The user has no account."""
        cognito = self.client("cognito-idp")
        attributes = [{"Name": "custom:student_id", "Value": str(uuid.uuid4())}]
        with contextlib.suppress(cognito.exceptions.UsernameExistsException):
            cognito.admin_create_user(
                UserPoolId=self.outputs["UserPoolId"],
                Username=email,
                UserAttributes=attributes,
                MessageAction="SUPPRESS",
            )
        return self.sign_in(email)

    def create_staff(self, email: str) -> "Student":
        """Creates a user of the group `staff` unless the user exists, and signs in."""
        self.create_student(email)
        self.client("cognito-idp").admin_add_user_to_group(
            UserPoolId=self.outputs["UserPoolId"], Username=email, GroupName="staff"
        )
        # Only a new token names the group.
        return self.sign_in(email)

    def sign_in(self, email: str) -> "Student":
        """Gives a user a new password and signs in with it."""
        cognito = self.client("cognito-idp")
        pool = self.outputs["UserPoolId"]
        password = f"Aa1-{secrets.token_urlsafe(24)}"
        cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
        signed_in = cognito.admin_initiate_auth(
            UserPoolId=pool,
            ClientId=self.outputs["UserPoolClientId"],
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
        return Student(signed_in["AuthenticationResult"]["IdToken"], self)

    def objects(self, prefix: str, bucket: str) -> dict[str, str]:
        """The ETags of the objects below a prefix, in the bucket that this output of the stack names."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.outputs[bucket], Prefix=prefix)
        return {content["Key"]: content["ETag"] for page in pages for content in page.get("Contents", [])}

    def items(self, table: str) -> list[dict[str, Any]]:
        """All items of the table that this output of the stack names."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.outputs[table])
        return [item for page in pages for item in page["Items"]]


@dataclass
class Student:
    """A signed-in student, who sends requests to the APIs of a stack."""

    token: str
    stack: Stack

    def request(self, method: str, path: str, room: str, **arguments: Any) -> requests.Response:
        headers = {"Authorization": self.token} | arguments.pop("headers", {})
        url = f"{self.stack.api_url(room)}{path}"
        return requests.request(method, url, headers=headers, timeout=30, **arguments)
