"""The bucket of imports, for tests."""

import csv
import io
import json
import uuid
from typing import Any

from stack import Stack, wait_until

HEADER = "email,given_name,family_name,date_of_birth,programme"


class Imports:
    """The bucket, with a registrar's operations."""

    def __init__(self, stack: Stack) -> None:
        self.s3 = stack.client("s3")
        self.states = stack.client("stepfunctions")
        self.bucket = stack.outputs["ImportsBucketName"]
        self.workflow = stack.outputs["ImportAccountsArn"]

    def put(self, content: str | bytes, name: str | None = None) -> str:
        """Puts a file, with a new name if none is given; returns its key and its version."""
        key = f"imports/{name or uuid.uuid4()}"
        version = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)["VersionId"]
        return f"{key} {version}"

    def results(self, put: str) -> list[dict[str, str]]:
        """Waits for the file of results, and returns its rows."""
        text = self.results_file(put).decode()
        assert text.startswith("\ufeff")
        separator = text.removeprefix("\ufeffline")[0]
        return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=separator))

    def results_file(self, put: str) -> bytes:
        wait_until(lambda: self.results_keys(put), f"there are results of {put}")
        [key] = self.results_keys(put)
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def results_keys(self, put: str) -> list[str]:
        key, version = put.rsplit(" ", 1)
        prefix = f"results/{key.removeprefix('imports/')}."
        return [key for key in self.keys(prefix) if key.endswith(f".{version}.csv")]

    def keys(self, prefix: str) -> list[str]:
        contents = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [content["Key"] for content in contents]

    def executions(self, put: str) -> list[dict[str, Any]]:
        """The executions that a version's events started."""
        version = put.rsplit(" ", 1)[1]
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=self.workflow)
        executions = [
            self.states.describe_execution(executionArn=execution["executionArn"])
            for page in pages
            for execution in page["executions"]
        ]
        return [one for one in executions if json.dumps(version) in one["input"]]

    def has_ended(self, put: str, status: str) -> bool:
        return [execution["status"] for execution in self.executions(put)] == [status]


def address() -> str:
    return f"{uuid.uuid4()}@school.example"


def row(email: str, **changes: str) -> list[str]:
    account = {
        "email": email,
        "given_name": "Ada",
        "family_name": "Lovelace",
        "date_of_birth": "2005-12-10",
        "programme": "mathematics",
    }
    return list((account | changes).values())


def table(*rows: list[str], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([HEADER.split(","), *rows])
    return text.getvalue()
