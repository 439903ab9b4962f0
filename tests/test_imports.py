"""A file that a registrar puts becomes accounts, and there is always an answer beside it."""

import csv
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from stack import Stack, wait_until

HEADER = "email,given_name,family_name,date_of_birth,programme"


class Imports:
    """The bucket, as a registrar uses it."""

    def __init__(self, stack: Stack) -> None:
        self.s3 = stack.client("s3")
        self.states = stack.client("stepfunctions")
        self.bucket = stack.outputs["ImportsBucketName"]
        self.workflow = stack.outputs["ImportAccountsArn"]

    def put(self, content: str | bytes) -> str:
        """Puts a file of its own name."""
        name = f"imports/{uuid.uuid4()}"
        self.s3.put_object(Bucket=self.bucket, Key=f"{name}.csv", Body=content)
        return name

    def results(self, name: str) -> list[dict[str, str]]:
        """The rows of the file of results, which is waited for."""
        wait_until(lambda: self.exists(f"{name}.results.csv"), f"there are results of {name}")
        body = self.s3.get_object(Bucket=self.bucket, Key=f"{name}.results.csv")["Body"].read()
        return list(csv.DictReader(io.StringIO(body.decode())))

    def exists(self, key: str) -> bool:
        return key in self.keys(key)

    def keys(self, prefix: str) -> list[str]:
        contents = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [content["Key"] for content in contents]

    def executions(self, key: str) -> list[dict[str, Any]]:
        """The executions that the events of an object started."""
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=self.workflow)
        executions = [
            self.states.describe_execution(executionArn=execution["executionArn"])
            for page in pages
            for execution in page["executions"]
        ]
        return [one for one in executions if json.dumps(key) in one["input"]]

    def has_ended(self, key: str, status: str) -> bool:
        return [execution["status"] for execution in self.executions(key)] == [status]


@pytest.fixture(scope="module")
def imports(stack: Stack) -> Imports:
    return Imports(stack)


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


def has_account(stack: Stack, email: str) -> bool:
    key = {"account_key": {"S": f"EMAIL:{email}"}}
    return "Item" in stack.client("dynamodb").get_item(TableName=stack.outputs["AccountsTableName"], Key=key)


def test_each_row_has_its_result(stack: Stack, imports: Imports) -> None:
    known, new, other = address(), address(), address()
    account = dict(zip(HEADER.split(","), row(known), strict=True))
    assert requests.post(f"{stack.api_url}/accounts", json=account, timeout=60).status_code == 201
    name = imports.put(
        "\ufeff"
        + table(
            row(new.upper()),
            row(known),
            row("=1+1", programme="alchemy"),
            ["too", "few"],
            [],
            row(other, given_name='Zoë; "Zo"', family_name="O'Brien\\"),
            row(other, given_name="Zoë", family_name="O'Brien-Lovelace"),
            delimiter=";",
        )
    )
    results = imports.results(name)
    assert [(one["line"], one["email"], one["result"]) for one in results] == [
        ("2", new.upper(), "created"),
        ("3", known, "existing"),
        ("4", "'=1+1", "rejected"),
        ("5", "too", "rejected"),
        ("7", other, "rejected"),
        ("8", other, "created"),
    ]
    reasons = [one["reason"] for one in results]
    assert reasons[0] == reasons[1] == reasons[5] == ""
    assert "email:" in reasons[2]
    assert "programme:" in reasons[2]
    assert "fields in this line, 2," in reasons[3]
    assert "given_name:" in reasons[4]
    assert "family_name:" in reasons[4]
    assert has_account(stack, new)
    assert has_account(stack, other)
    wait_until(lambda: imports.has_ended(f"{name}.csv", "SUCCEEDED"), "the import has succeeded")


@pytest.mark.parametrize(
    ("content", "explanation"),
    [
        (b"", "no rows"),
        (f"{HEADER}\r\n", "no rows"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00", "CSV UTF-8"),
        (f"{HEADER}\nada@school.example,Ad\xe9,Lovelace,2005-12-10,mathematics\n".encode("latin-1"), "Line 2"),
        (table(row("ada@school.example")).encode("utf-16"), "CSV UTF-8"),
        ("ada@school.example,Ada,Lovelace,2005-12-10,mathematics\n", "Missing: email"),
        (f"{HEADER},phone\n", "Unknown: phone"),
        (f"{HEADER},E-mail\n", "Twice: email"),
        (f"{HEADER}\n" + "a row\n" * 100_001, "more than 100000 rows"),
        (b"a" * 20_000_001, "more than 20 MB"),
    ],
    ids=["empty", "no-rows", "xlsx", "latin-1", "utf-16", "no-header", "unknown", "twice", "rows", "bytes"],
)
def test_a_file_that_can_not_be_imported_is_refused_with_what_to_do(
    imports: Imports, content: str | bytes, explanation: str
) -> None:
    [result] = imports.results(imports.put(content))
    assert (result["line"], result["email"], result["result"]) == ("1", "", "rejected")
    assert explanation in result["reason"]


def test_an_event_that_comes_twice_imports_once(imports: Imports) -> None:
    name = imports.put(table(row(address())))
    assert [one["result"] for one in imports.results(name)] == ["created"]
    wait_until(lambda: imports.has_ended(f"{name}.csv", "SUCCEEDED"), "the import has succeeded")
    [execution] = imports.executions(f"{name}.csv")

    def version() -> str:
        return imports.s3.head_object(Bucket=imports.bucket, Key=f"{name}.results.csv")["VersionId"]

    reported = version()
    again = imports.states.start_execution(stateMachineArn=imports.workflow, input=execution["input"])["executionArn"]
    wait_until(
        lambda: imports.states.describe_execution(executionArn=again)["status"] == "SUCCEEDED",
        "the second execution ends",
    )
    assert version() == reported


def test_results_are_not_imported(imports: Imports) -> None:
    name = imports.put(table(row(address())))
    imports.results(name)
    wait_until(lambda: imports.has_ended(f"{name}.results.csv", "SUCCEEDED"), "the event of the results has come")
    assert imports.keys(name) == [f"{name}.csv", f"{name}.results.csv"]


@contextmanager
def denied(imports: Imports, action: str, prefix: str) -> Iterator[None]:
    """An outage of S3, for as long as it takes."""
    policy = json.loads(imports.s3.get_bucket_policy(Bucket=imports.bucket)["Policy"])
    resource = f"arn:aws:s3:::{imports.bucket}/{prefix}*"
    outage = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource}
    with_outage = policy | {"Statement": [*policy["Statement"], outage]}
    imports.s3.put_bucket_policy(Bucket=imports.bucket, Policy=json.dumps(with_outage))
    try:
        yield
    finally:
        imports.s3.put_bucket_policy(Bucket=imports.bucket, Policy=json.dumps(policy))


def test_an_import_that_breaks_off_tells_the_registrar_and_fails(imports: Imports) -> None:
    with denied(imports, "s3:PutObject", "work/"):
        name = imports.put(table(row(address())))
        [result] = imports.results(name)
    assert (result["line"], result["email"], result["result"]) == ("1", "", "failed")
    assert "later" in result["reason"]
    wait_until(lambda: imports.has_ended(f"{name}.csv", "FAILED"), "the execution has failed")
