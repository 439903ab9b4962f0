"""A registrar's file becomes accounts, and always gets an answer."""

import json
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from account_requests import sign_up
from faults import put_object_refused, rule_disabled
from registrar import HEADER, Imports, address, row, table
from stack import Stack, wait_until
from tools import missing


@pytest.fixture(scope="module")
def imports(stack: Stack) -> Imports:
    return Imports(stack)


def has_account(stack: Stack, email: str) -> bool:
    key = {"account_key": {"S": f"EMAIL:{email}"}}
    return "Item" in stack.client("dynamodb").get_item(TableName=stack.outputs["AccountsTableName"], Key=key)


def test_each_row_has_its_result(stack: Stack, imports: Imports) -> None:
    known, new, other = address(), address(), address()
    account = dict(zip(HEADER.split(","), row(known), strict=True))
    assert sign_up(stack, account).status_code == 201
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
    # The first version has been read; later reads get the second one.
    wait_until(lambda: imports.keys(f"work/{first.replace(' ', '/')}/rows.jsonl"), "the first version is imported")
    second = imports.put(table(row(one)), name)
    assert [(row["email"], row["result"]) for row in imports.results(second)] == [(one, "created")]
    assert [(row["email"], row["result"]) for row in imports.results(first)] == [(email, "created") for email in many]


def test_a_version_that_is_not_the_current_one_is_not_imported_and_its_results_say_so(
    stack: Stack, imports: Imports
) -> None:
    """The events of two versions arrive in the wrong order, or late."""
    name, email = f"{uuid.uuid4()}.csv", address()
    with rule_disabled(stack, "imports", "ImportsRule"):
        first = imports.put(table(row(email)), name)
        second = imports.put(table(row(email)), name)

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
    """The file as LibreOffice shows it, with each separator."""
    office = shutil.which("soffice")
    if office is None:
        missing("LibreOffice", "libreoffice-calc-nogui")
    hostile = ["=1+1", "=1+1@school.example", "+1@school.example", "-1@school.example", "@SUM(1)@school.example"]
    hostile += ["a|=1+1@school.example", "a;=1+1", "a\t=1+1", " =1+1", '=1+2";=1+2', "=cmd|'/c calc'!A0", "\uff1d1+1"]
    # No row may become an account.
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
        # With another separator, the whole line is in one cell.
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


def test_an_import_that_breaks_off_tells_the_registrar_and_fails(stack: Stack, imports: Imports) -> None:
    with put_object_refused(stack, "work/", "ImportsBucketName"):
        put = imports.put(table(row(address())))
        [result] = imports.results(put)
    assert (result["line"], result["email"], result["result"]) == ("1", "", "failed")
    assert "later" in result["reason"]
    wait_until(lambda: imports.has_ended(put, "FAILED"), "the execution has failed")
