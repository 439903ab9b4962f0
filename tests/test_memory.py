"""How much memory functions need for the largest input, whatever its shape.

For builds of one's own: python tests/test_memory.py DIRECTORY, for example target/debug
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

RECORDS = 10_000
EVENT_BYTES = 6_000_000
FILE_BYTES = 20_000_000
ROWS = 100_000
# Half of the functions' memory.
LIMIT_BYTES = 128 * 1024 * 1024

HEADER = "email,given_name,family_name,date_of_birth,programme"
VERSION_ID = "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"
WORK = f"work/imports/autumn.csv/{VERSION_ID}"


def largest_batch() -> bytes:
    """As many records as a batch can have, in as many bytes as an invocation can get."""

    def record(index: int, topic: str) -> dict[str, object]:
        key = {"advisor_id": {"S": f"advisor-{index % 50}"}, "starts_at": {"S": f"2030-05-06T{index % 24:02}:00:00Z"}}
        return {
            "eventID": f"{index:032x}",
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_170_600,
                "Keys": key,
                "NewImage": key | {"student_id": {"S": f"{index:036}"}, "topic": {"S": topic}},
                "SequenceNumber": str(10**20 + index),
                "SizeBytes": 200,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }

    padding = EVENT_BYTES // RECORDS - len(json.dumps(record(0, ""))) - 2
    # Text that compresses as badly as it can.
    topics = (os.urandom(padding // 2).hex() for _ in range(RECORDS))
    return json.dumps({"Records": [record(index, topic) for index, topic in enumerate(topics)]}).encode()


def table(row: Callable[[int], str]) -> bytes:
    """As many rows as a file can have, in as many bytes."""
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
    """What an import leaves whose rows are all rejected for all reasons that there are, in one file of the map."""
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


class Lambda(BaseHTTPRequestHandler):
    """Lambda's runtime interface, and S3 with some objects, for one invocation."""

    protocol_version = "HTTP/1.1"
    event: bytes
    objects: dict[str, bytes]
    invocations: int
    response: Any
    answered: threading.Event
    ended: threading.Event

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path.startswith("/2018-06-01/"):
            self.give_event()
        elif "list-type" in url.query:
            prefix = f"{WORK}/results/"
            keys = (f"<Contents><Key>{key}</Key></Contents>" for key in self.objects if key.startswith(prefix))
            self.answer(f"<ListBucketResult>{''.join(keys)}</ListBucketResult>".encode())
        else:
            self.answer(self.objects[unquote(url.path).split("/", 2)[2]], {"x-amz-version-id": VERSION_ID})

    def give_event(self) -> None:
        if type(self).invocations == 1:
            self.ended.wait()
            return
        type(self).invocations = 1
        deadline = str(int((time.time() + 120) * 1000))
        self.answer(self.event, {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": deadline})

    def answer(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            # A file is not read to its end when it is refused before.
            self.close_connection = True

    def read_body(self) -> bytes:
        if length := self.headers["Content-Length"]:
            return self.rfile.read(int(length))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_PUT(self) -> None:
        self.read_body()
        self.answer(b"")

    def do_POST(self) -> None:
        body = self.read_body()
        type(self).response = json.loads(body) if self.path.endswith("/response") else body.decode()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.answered.set()

    def log_message(self, *arguments: object) -> None:
        pass


def invoke(bootstrap: Path, event: bytes, objects: dict[str, bytes]) -> tuple[Any, int]:
    """What the function answers, and how many bytes of memory it needed for it at most."""
    lambda_service = type(
        "OneInvocation",
        (Lambda,),
        {
            "event": event,
            "objects": objects,
            "invocations": 0,
            "answered": threading.Event(),
            "ended": threading.Event(),
        },
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda_service)
    server.daemon_threads = True
    # The function is killed with its connections open.
    server.handle_error = lambda *arguments: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    environment = {
        "ARCHIVE_BUCKET": "archive",
        "IMPORTS_BUCKET": "imports",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    }
    process = subprocess.Popen([bootstrap], env=environment, stdout=subprocess.DEVNULL)
    try:
        assert lambda_service.answered.wait(120), "the function did not answer"
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.kill()
        process.wait()
        lambda_service.ended.set()
        server.shutdown()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return lambda_service.response, int(kilobytes) * 1024


def archive(bootstrap: Path) -> int:
    response, memory = invoke(bootstrap, largest_batch(), {})
    assert response == {"batchItemFailures": []}
    return memory


def check(bootstrap: Path, file: str) -> int:
    event = {"key": "imports/autumn.csv", "version_id": VERSION_ID, "work_prefix": WORK}
    content = FILES[file]()
    assert len(content) <= FILE_BYTES
    response, memory = invoke(bootstrap, json.dumps(event).encode(), {"imports/autumn.csv": content})
    assert response["outcome"] in ("READY", "REFUSED"), response
    return memory


def report(bootstrap: Path) -> int:
    # In UTF-16, the results are twice as large.
    form = {"separator": "\t", "is_utf_16": True}
    event = {"outcome": "IMPORTED", "results_key": "results/autumn.csv", "work_prefix": WORK, "form": form}
    response, memory = invoke(bootstrap, json.dumps(event).encode(), largest_results())
    assert response is None
    return memory


pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads Linux's /proc")
BUILD = Path(".aws-sam/build")


def test_the_largest_batch_fits_into_half_of_the_functions_memory() -> None:
    assert archive(BUILD / "ArchiveAppointments/bootstrap") < LIMIT_BYTES


@pytest.mark.parametrize("file", FILES)
def test_the_largest_file_of_any_shape_fits_into_half_of_the_functions_memory(file: str) -> None:
    assert check(BUILD / "CheckImport/bootstrap", file) < LIMIT_BYTES


def test_the_largest_results_fit_into_half_of_the_functions_memory() -> None:
    assert report(BUILD / "ReportImport/bootstrap") < LIMIT_BYTES


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    measured = {"archive-appointments": archive(directory / "archive-appointments")}
    measured |= {f"check-import, {file}": check(directory / "check-import", file) for file in FILES}
    measured["report-import"] = report(directory / "report-import")
    for what, memory in measured.items():
        print(f"{memory / 1024 / 1024:4.0f} MB  {what}")
