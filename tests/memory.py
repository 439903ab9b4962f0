"""The memory that a function needs for one invocation, as Linux measures it."""

import json
import re
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import tomlkit
from rooms import PROJECT, Room

VERSION_ID = "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"


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
            [prefix] = parse_qs(url.query)["prefix"]
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
            # The function may refuse a file before it has read all of it.
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


def invoke(room: Room, function: str, event: bytes, objects: dict[str, bytes]) -> tuple[Any, int]:
    """The function's answer, and its peak memory in bytes without its code: a debug build has much more code."""
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
    # The function is killed while its connections are open.
    server.handle_error = lambda *arguments: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    environment = {
        **tomlkit.parse((PROJECT / ".cargo" / "config.toml").read_text())["env"].unwrap(),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    }
    process = subprocess.Popen([room.bootstrap(function)], env=environment, stdout=subprocess.DEVNULL)
    try:
        assert lambda_service.answered.wait(120), "the function did not answer"
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.kill()
        process.wait()
        lambda_service.ended.set()
        server.shutdown()
    kilobytes = {name: int(value.split()[0]) for name, value in re.findall(r"^(VmHWM|RssFile):\s+(.*)$", status, re.M)}
    return lambda_service.response, (kilobytes["VmHWM"] - kilobytes["RssFile"]) * 1024
