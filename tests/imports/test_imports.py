"""A file that a registrar puts becomes accounts, and there is always an answer to it."""

import csv
import io
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from stack import Stack, wait_until
from tools import missing

HEADER = "email,given_name,family_name,date_of_birth,programme"


class Imports:
    """The bucket, as a registrar uses it."""

    def __init__(self, stack: Stack) -> None:
        self.s3 = stack.client("s3")
        self.states = stack.client("stepfunctions")
        self.bucket = stack.outputs["ImportsBucketName"]
        self.workflow = stack.outputs["ImportAccountsArn"]

    def put(self, content: str | bytes, name: str | None = None) -> str:
        """Puts a file, of its own name if none is given; returns its key and its version."""
        key = f"imports/{name or uuid.uuid4()}"
        version = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)["VersionId"]
        return f"{key} {version}"

    def results(self, put: str) -> list[dict[str, str]]:
        """The rows of the file of results, which is waited for."""
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
        """The executions that the events of a version started."""
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
    put = imports.put(
        "\ufeff"
        + table(
            row(new.upper(), programme="Computer science"),
            row(known),
            row("=1+1", programme="alchemy"),
            ["too", "few"],
            [],
            row(other, given_name='Zoë; "Zo"', family_name="O'Brien\\"),
            row(new),
            row(f"  {new.title()}"),
            delimiter=";",
        )
    )
    results = imports.results(put)
    assert [(one["line"], one["email"], one["result"]) for one in results] == [
        ("2", new, "created"),
        ("3", known, "existing"),
        ("4", "", "rejected"),
        ("5", "", "rejected"),
        ("7", other, "rejected"),
        ("8", new, "duplicate"),
        ("9", new, "duplicate"),
    ]
    reasons = [one["reason"] for one in results]
    assert reasons[0] == reasons[1] == ""
    assert "email:" in reasons[2]
    assert "programme:" in reasons[2]
    assert "fields in this line, 2," in reasons[3]
    assert "given_name:" in reasons[4]
    assert "family_name:" in reasons[4]
    assert "Line 2 has the same address" in reasons[5]
    assert has_account(stack, new)
    assert not has_account(stack, other)
    wait_until(lambda: imports.has_ended(put, "SUCCEEDED"), "the import has succeeded")


def test_files_of_similar_names_have_results_of_their_own(imports: Imports) -> None:
    name = f"{uuid.uuid4()} Früh+jahr (2)"
    emails = {name + ending: address() for ending in ("", ".csv", ".CSV", ".csv.csv")}
    puts = {imports.put(table(row(email)), name): email for name, email in emails.items()}
    for put, email in puts.items():
        assert [(one["email"], one["result"]) for one in imports.results(put)] == [(email, "created")]


def test_a_file_that_is_overwritten_while_it_is_imported_has_the_results_of_each_version(imports: Imports) -> None:
    name = f"{uuid.uuid4()}.csv"
    many, one = [address() for _ in range(150)], address()
    first = imports.put(table(*map(row, many)), name)
    # The first version has been read: what is read later is the second.
    wait_until(lambda: imports.keys(f"work/{first.replace(' ', '/')}/rows.jsonl"), "the first version is imported")
    second = imports.put(table(row(one)), name)
    assert [(row["email"], row["result"]) for row in imports.results(second)] == [(one, "created")]
    assert [(row["email"], row["result"]) for row in imports.results(first)] == [(email, "created") for email in many]


def test_a_version_that_is_not_the_current_one_is_not_imported_and_its_results_say_so(
    stack: Stack, imports: Imports
) -> None:
    """As when the events of two versions come in the wrong order, or late."""
    name, email = f"{uuid.uuid4()}.csv", address()
    # Nothing at all is imported meanwhile.
    rules = stack.client("events")
    [rule] = [one["Name"] for one in rules.list_rules()["Rules"] if "A registrar has put" in one.get("Description", "")]
    rules.disable_rule(Name=rule)
    try:
        first = imports.put(table(row(email)), name)
        second = imports.put(table(row(email)), name)
    finally:
        rules.enable_rule(Name=rule)

    def send_event(put: str) -> None:
        version = put.rsplit(" ", 1)[1]
        event = {
            "time": "2026-11-20T10:15:00Z",
            "detail": {"object": {"key": f"imports/{name}", "version-id": version}},
        }
        imports.states.start_execution(stateMachineArn=imports.workflow, input=json.dumps(event))

    send_event(second)
    assert [one["result"] for one in imports.results(second)] == ["created"]
    send_event(first)
    [result] = imports.results(first)
    assert (result["line"], result["email"], result["result"]) == ("1", "", "rejected")
    assert "overwritten" in result["reason"]
    wait_until(lambda: imports.has_ended(first, "SUCCEEDED"), "the import of the first version has ended")

    imports.s3.delete_object(Bucket=imports.bucket, Key=f"imports/{name}")
    third = f"imports/{name} deleted"
    send_event(third)
    assert "deleted" in imports.results(third)[0]["reason"]


@pytest.mark.parametrize(
    ("content", "explanation"),
    [
        (b"", "no rows"),
        (f"{HEADER}\r\n", "no rows"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00", "CSV UTF-8"),
        (f"{HEADER}\nada@school.example,Ad\xe9,Lovelace,2005-12-10,mathematics\n".encode("latin-1"), "Line 2"),
        ("ada@school.example,Ada,Lovelace,2005-12-10,mathematics\n", "contains none of them"),
        (f"{HEADER},phone\n", "Unknown: column 6"),
        (f"{HEADER},E-mail\n", "Twice: email"),
        (f"{HEADER}\n" + "a row\n" * 100_001, "more than 100000 rows"),
        (b"a" * 20_000_001, "more than 20 MB"),
    ],
    ids=["empty", "no-rows", "xlsx", "latin-1", "no-header", "unknown", "twice", "rows", "bytes"],
)
def test_a_file_that_can_not_be_imported_is_refused_with_what_to_do(
    imports: Imports, content: str | bytes, explanation: str
) -> None:
    [result] = imports.results(imports.put(content))
    assert (result["line"], result["email"], result["result"]) == ("1", "", "rejected")
    assert explanation in result["reason"]


@pytest.mark.parametrize(
    ("encoding", "separator", "line_break"),
    [("utf-16", "\t", "\r\n"), ("utf-16-le", "\t", "\r\n"), ("utf-8", "|", "\r"), ("utf-8-sig", ";", "\n")],
)
def test_a_file_is_read_as_programs_save_it_and_its_results_are_written_alike(
    imports: Imports, encoding: str, separator: str, line_break: str
) -> None:
    email = address()
    text = table(row(email, given_name="Zoë"), delimiter=separator).replace("\r\n", line_break)
    text = text.replace("email", "E-mail address").replace("programme", "Program")
    results = imports.results_file(imports.put(text.encode(encoding)))
    expected = separator.join(["line", "email", "result", "reason"]), separator.join(["2", email, "created", ""])
    assert results.decode("utf-16" if "16" in encoding else "utf-8-sig").splitlines() == list(expected)


def test_nothing_in_the_results_becomes_a_formula(imports: Imports, tmp_path: Path) -> None:
    """As LibreOffice sees it, whichever separator it is told."""
    office = shutil.which("soffice")
    if office is None:
        missing("LibreOffice", "libreoffice-calc-nogui")
    hostile = ["=1+1", "=1+1@school.example", "+1@school.example", "-1@school.example", "@SUM(1)@school.example"]
    hostile += ["a|=1+1@school.example", "a;=1+1", "a\t=1+1", " =1+1", '=1+2";=1+2', "=cmd|'/c calc'!A0", "\uff1d1+1"]
    # No row becomes an account.
    rows = [row(email, programme="alchemy") for email in hostile]
    results = tmp_path / "results.csv"
    results.write_bytes(imports.results_file(imports.put(table(*rows))))
    # That it would see one.
    formula = tmp_path / "formula.csv"
    formula.write_text("line,email\n2,=1+1\n")

    def formulas(file: Path, separator: str) -> int:
        profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
        # Separator, quotation mark, UTF-8: https://wiki.documentfoundation.org/Documentation/DevGuide/Spreadsheet_Documents#Filter_Options_for_the_CSV_Filter
        options = f"--infilter=CSV:{ord(separator)},34,76"
        command = [office, profile, "--headless", options, "--convert-to", "fods", "--outdir", tmp_path, file]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        sheet = file.with_suffix(".fods").read_text()
        # Another separator leaves the whole line in one cell.
        assert "<text:p>2" in sheet
        return sheet.count("table:formula=")

    assert formulas(formula, ",") == 1
    assert [formulas(results, separator) for separator in ",;\t|"] == [0, 0, 0, 0]


def test_an_event_that_comes_twice_imports_once(imports: Imports) -> None:
    put = imports.put(table(row(address())))
    assert [one["result"] for one in imports.results(put)] == ["created"]
    wait_until(lambda: imports.has_ended(put, "SUCCEEDED"), "the import has succeeded")
    [execution] = imports.executions(put)
    [key] = imports.results_keys(put)

    def version() -> str:
        return imports.s3.head_object(Bucket=imports.bucket, Key=key)["VersionId"]

    reported = version()
    again = imports.states.start_execution(stateMachineArn=imports.workflow, input=execution["input"])["executionArn"]
    wait_until(
        lambda: imports.states.describe_execution(executionArn=again)["status"] == "SUCCEEDED",
        "the second execution ends",
    )
    assert version() == reported


def test_a_folder_is_not_imported(imports: Imports) -> None:
    put = imports.put("", f"{uuid.uuid4()}/")
    wait_until(lambda: imports.has_ended(put, "SUCCEEDED"), "the event of the folder has come")
    assert imports.results_keys(put) == []


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
        put = imports.put(table(row(address())))
        [result] = imports.results(put)
    assert (result["line"], result["email"], result["result"]) == ("1", "", "failed")
    assert "later" in result["reason"]
    wait_until(lambda: imports.has_ended(put, "FAILED"), "the execution has failed")
