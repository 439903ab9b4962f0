"""A deployed stack, on AWS or in the local cloud, as a script or a test sees it."""

import contextlib
import secrets
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import duckdb
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Waits for something that a deployed stack does by itself; raises ``TimeoutError`` when it doesn't."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen in {seconds} s: {what}")
        time.sleep(0.2)


def of_environment(environment: str) -> "Stack":
    """The stack of an environment as `make` names them; for `local`, `make` sets `AWS_ENDPOINT_URL` to the local cloud.

    Ends the program when there is no such stack.
    """
    try:
        return Stack(f"registrar-{environment}")
    except (BotoCoreError, ClientError) as error:
        where = "ENV=local is the local cloud; dev and prod are on AWS."
        sys.exit(f"registrar-{environment} can't be reached: {error}\n{where}")


class Stack:
    """The stack of this name in the account that the environment's credentials belong to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._session = boto3.Session()
        [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._downloads = tempfile.TemporaryDirectory(prefix="registrar-archive-")
        self._downloaded: dict[str, str] = {}

    def client(self, service: str, config: Config | None = None) -> Any:
        return self._session.client(service, config=config)

    @cached_property
    def api_url(self) -> str:
        url = self.outputs["ApiUrl"]
        endpoint = self.client("apigateway").meta.endpoint_url
        if "amazonaws.com" in endpoint:
            return url
        # The local cloud serves every API below its one address.
        host, stage = url.removeprefix("https://").split("/")
        return f"{endpoint}/_aws/execute-api/{host.split('.')[0]}/{stage}"

    def create_student(self, email: str) -> "Student":
        """Creates a user, or takes the one there is, and signs in; there is no account behind it."""
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
        return Student(self.api_url, signed_in["AuthenticationResult"]["IdToken"])

    def objects(self, prefix: str = "", bucket: str = "ArchiveBucketName") -> dict[str, str]:
        """The ETags of the objects whose keys begin so, in the bucket that this output of the stack names."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.outputs[bucket], Prefix=prefix)
        return {content["Key"]: content["ETag"] for page in pages for content in page.get("Contents", [])}

    def query_archive(self, sql: str) -> duckdb.DuckDBPyRelation:
        """Runs a query on `archive`: every row of every archive object, with `dt` and the `key` of its object."""
        s3 = self.client("s3")
        directory = Path(self._downloads.name)
        objects = self.objects("appointments/")
        for key in self._downloaded.keys() - objects.keys():
            (directory / key).unlink()
        for key, _ in objects.items() - self._downloaded.items():
            path = directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(self.outputs["ArchiveBucketName"], key, str(path))
        self._downloaded = objects
        connection = duckdb.connect()
        if objects:
            connection.sql(
                f"""CREATE VIEW archive AS
                SELECT * EXCLUDE filename, filename[{len(str(directory)) + 2}:] AS key
                FROM read_parquet('{directory}/**/*.parquet', hive_partitioning = true, filename = true)"""
            )
        else:
            texts = "event_id event_source event_name sequence_number advisor_id student_id topic new_image old_image"
            connection.sql(
                f"""CREATE TABLE archive (
                {texts.replace(" ", " VARCHAR, ")} VARCHAR, key VARCHAR,
                event_time TIMESTAMPTZ, starts_at TIMESTAMPTZ, dt DATE)"""
            )
        return connection.sql(sql)


@dataclass
class Student:
    """A signed-in student, who speaks to the API."""

    api_url: str
    token: str

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = {"Authorization": self.token} | arguments.pop("headers", {})
        return requests.request(method, f"{self.api_url}{path}", headers=headers, timeout=30, **arguments)

    def book(self, **booking: Any) -> requests.Response:
        return self.request("POST", "/appointments", json=booking)

    def list(self, **parameters: Any) -> requests.Response:
        return self.request("GET", "/appointments", params=parameters)

    def cancel(self, advisor_id: str, starts_at: str) -> requests.Response:
        return self.request("DELETE", f"/appointments/{quote(advisor_id, safe='')}/{quote(starts_at, safe='')}")
