"""The memory that the functions of an import need for the largest file, whatever its form."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from memory import VERSION_ID, invoke
from registrar import HEADER
from rooms import Room

FILE_BYTES = 20_000_000
ROWS = 100_000
ROOM = Room("imports")
MEMORY_BYTES = {name: function["Properties"]["MemorySize"] * 1024 * 1024 for name, function in ROOM.functions.items()}

WORK = f"work/imports/autumn.csv/{VERSION_ID}"

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads Linux's /proc")


def table(row: Callable[[int], str]) -> bytes:
    """The maximum number of rows of a file, in the maximum number of bytes."""
    return "\n".join([HEADER, *map(row, range(ROWS))]).encode()[:FILE_BYTES]


FILES: dict[str, Callable[[], bytes]] = {
    "commas": lambda: b"," * FILE_BYTES,
    "one line": lambda: b"a" * FILE_BYTES,
    "a million columns": lambda: (HEADER + ",a" * 1_000_000 + "\n").encode(),
    "a row of commas": lambda: (HEADER + "\n").encode() + b"," * (FILE_BYTES - 100),
    "a field without an end": lambda: (HEADER + '\n"').encode() + b"a" * (FILE_BYTES - 100),
    "line breaks": lambda: b"\n" * FILE_BYTES,
    "carriage returns in UTF-16": lambda: "\r".encode("utf-16-le") * (FILE_BYTES // 2),
    "quotation marks": lambda: table(lambda index: f"{index}@school.example" + ',"' + '""' * 75 + '",b,c,d'),
    "backslashes": lambda: table(lambda index: f"{index}@school.example," + "\\" * 160 + ",b,c,d"),
    "control characters": lambda: table(lambda _: "\1" * 198),
    "long addresses": lambda: table(lambda index: f"{index:064}@{'b' * 55}.example,{'a' * 55},b,c,d"),
    "the longest lines": lambda: (HEADER + "\n").encode() + (b'"' * 4000 + b"\n") * 4990,
    "one address": lambda: table(lambda _: "ada@school.example,Ada,Lovelace,2005-12-10,mathematics"),
    "a million rows": lambda: (HEADER + "\n").encode() + b"a,b,c,d,e\n" * 1_000_000,
    "wide characters in UTF-16": lambda: (HEADER + ("\n" + "\u754c" * 97) * ROWS).encode("utf-16-le"),
}


def largest_results() -> dict[str, bytes]:
    """The results of an import whose rows are all rejected for all possible reasons, in one file of the map."""
    rows = "\n".join(json.dumps({"line": line, "email": f"{line:064}@{'b' * 55}.example"}) for line in range(ROWS))
    messages = {
        "email": "This is not an e-mail address that we can write to.",
        "given_name": "Use letters, spaces, hyphens and apostrophes. " * 2,
        "family_name": "Use letters, spaces, hyphens and apostrophes. " * 2,
        "date_of_birth": "Use a date in the past, written as 2007-03-14.",
        "programme": "Choose one of computer-science, history, literature, mathematics, physics.",
    }
    problems = [{"field": field, "code": "INVALID", "message": message} for field, message in messages.items()]
    body = json.dumps({"code": "INVALID_ACCOUNT", "message": "Some fields are not valid.", "problems": problems})

    def execution(line: int) -> str:
        output = json.dumps({"line": line, "statusCode": 422, "body": body})
        return json.dumps({"ExecutionArn": "a" * 100, "Input": "{}" * 100, "Output": output, "Status": "SUCCEEDED"})

    results = "[" + ",".join(map(execution, range(ROWS))) + "]"
    return {
        f"{WORK}/report.jsonl": rows.encode(),
        f"{WORK}/results/1/SUCCEEDED_0.json": results.encode(),
    }


def check(file: str) -> int:
    event = {"key": "imports/autumn.csv", "version_id": VERSION_ID, "work_prefix": WORK}
    content = FILES[file]()
    assert len(content) <= FILE_BYTES
    response, memory = invoke(ROOM, "CheckImport", json.dumps(event).encode(), {"imports/autumn.csv": content})
    assert response["outcome"] in ("READY", "REFUSED"), response
    return memory


def report() -> int:
    # In UTF-16, the results are twice as large.
    form = {"separator": "\t", "is_utf_16": True}
    event = {"outcome": "IMPORTED", "results_key": "results/autumn.csv", "work_prefix": WORK, "form": form}
    response, memory = invoke(ROOM, "ReportImport", json.dumps(event).encode(), largest_results())
    assert response is None
    return memory


@pytest.mark.parametrize("file", FILES)
def test_the_largest_file_of_any_shape_fits_into_half_of_the_functions_memory(file: str) -> None:
    assert check(file) < MEMORY_BYTES["CheckImport"] / 2


def test_the_largest_results_fit_into_half_of_the_functions_memory() -> None:
    assert report() < MEMORY_BYTES["ReportImport"] / 2
