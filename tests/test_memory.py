"""How much memory archive-appointments needs for the largest batch.

For a build of one's own: python tests/test_memory.py BOOTSTRAP
"""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

RECORDS = 10_000
EVENT_BYTES = 6_000_000
LIMIT_BYTES = 128 * 1024 * 1024


def largest_event() -> bytes:
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


class Lambda(BaseHTTPRequestHandler):
    """Lambda's runtime interface and an S3 that takes everything, for one invocation."""

    protocol_version = "HTTP/1.1"
    event: bytes
    invocations: int
    response: dict[str, object]
    answered: threading.Event
    ended: threading.Event

    def do_GET(self) -> None:
        if type(self).invocations == 1:
            self.ended.wait()
            return
        type(self).invocations = 1
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 60) * 1000)))
        self.send_header("Content-Length", str(len(self.event)))
        self.end_headers()
        self.wfile.write(self.event)

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
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        type(self).response = json.loads(self.read_body())
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.answered.set()

    def log_message(self, *arguments: object) -> None:
        pass


def peak_memory(bootstrap: Path) -> int:
    """Bytes of memory that the function needed at most to archive the largest batch."""
    lambda_service = type(
        "OneInvocation",
        (Lambda,),
        {
            "event": largest_event(),
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
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "archive-appointments",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    }
    process = subprocess.Popen([bootstrap], env=environment, stdout=subprocess.DEVNULL)
    try:
        assert lambda_service.answered.wait(60), "the function did not answer"
        assert lambda_service.response == {"batchItemFailures": []}
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.kill()
        process.wait()
        lambda_service.ended.set()
        server.shutdown()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kilobytes) * 1024


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads Linux's /proc")
def test_the_largest_batch_fits_into_half_of_the_functions_memory() -> None:
    assert peak_memory(Path(".aws-sam/build/ArchiveAppointments/bootstrap")) < LIMIT_BYTES


if __name__ == "__main__":
    print(f"{peak_memory(Path(sys.argv[1])) / 1024 / 1024:.0f} MB")
