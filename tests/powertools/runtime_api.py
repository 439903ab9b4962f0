"""The Lambda Runtime API, for a function's own binary, which polls for events here as in Lambda.

With `extensions` there is the Extensions API as well, for one internal extension.
"""

import json
import os
import queue
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:example"
TRACE_HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@dataclass
class Invocation:
    """An event in the function."""

    event: str
    trace_header: str
    timeout: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    answered: threading.Event = field(default_factory=threading.Event)
    answer: str = ""
    failed: bool = False
    handed_out: float = 0


class Function:
    """A running function. Its output is in `lines`, unless its `output` goes elsewhere."""

    def __init__(
        self,
        bootstrap: Path | list[str],
        environment: dict[str, str] | None = None,
        extensions: bool = False,
        output: int = subprocess.PIPE,
    ) -> None:
        self.lines: list[str] = []
        self.latencies: list[float] = []
        """Seconds from sending an event to its answer, for each invocation."""
        self.extension_waits = threading.Event()
        """While set, the extension waits for the next event, so that Lambda might freeze the function."""
        self._extensions = extensions
        self._is_extension = False
        self._extension_events: queue.Queue[Invocation] = queue.Queue()
        self._waiting: queue.Queue[Invocation] = queue.Queue()
        self._under_way: dict[str, Invocation] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # The interval at which the server checks whether to stop.
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self._polled = threading.Event()
        self._first_poll = 0.0
        self._spawned = time.perf_counter()
        self._process = subprocess.Popen(
            bootstrap,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": "example",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/example",
                "AWS_LAMBDA_LOG_STREAM_NAME": "example",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "PATH": os.environ["PATH"],
                **(environment or {}),
            },
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Function":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def invoke(self, event: object, trace_header: str = TRACE_HEADER, timeout: float = 10) -> object:
        """The function's answer; raises `FunctionError` with the error's document if the function fails."""
        return self.invoke_text(json.dumps(event), trace_header, timeout)

    def invoke_text(self, event: str, trace_header: str = TRACE_HEADER, timeout: float = 10) -> object:
        """The same for an event that need not be JSON."""
        invocation = Invocation(event, trace_header, timeout)
        self._waiting.put(invocation)
        if not invocation.answered.wait(timeout):
            raise TimeoutError("\n".join(self.lines))
        answer = json.loads(invocation.answer)
        if invocation.failed:
            raise FunctionError(answer)
        return answer

    def init_seconds(self, timeout: float = 10) -> float:
        """Seconds from the start of the process to its first request for an event."""
        if not self._polled.wait(timeout):
            raise TimeoutError("\n".join(self.lines))
        return self._first_poll - self._spawned

    def stop(self) -> list[str]:
        """Ends the function, and returns its whole output."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._server.shutdown()
        self._server.server_close()
        return self.lines

    def _read(self) -> None:
        self.lines.extend(line.rstrip("\n") for line in self._process.stdout or ())

    def _handler(function) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Sends an answer in one piece.
            wbufsize = -1

            def handle(self) -> None:
                # A function that is stopped resets its connections.
                with suppress(ConnectionResetError):
                    super().handle()

            def do_GET(self) -> None:
                if self.path.endswith("/extension/event/next"):
                    function.extension_waits.set()
                    self.reply(200, json.dumps({"requestId": function._extension_events.get().request_id}))
                    function._extension_events.task_done()
                    return
                if not function._polled.is_set():
                    function._first_poll = time.perf_counter()
                    function._polled.set()
                invocation = function._waiting.get()
                if function._is_extension:
                    function.extension_waits.clear()
                    function._extension_events.put(invocation)
                    # Lambda sends the next event only after all have asked for it.
                    function._extension_events.join()
                function._under_way[invocation.request_id] = invocation
                invocation.handed_out = time.perf_counter()
                self.reply(
                    200,
                    invocation.event,
                    {
                        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                        "Lambda-Runtime-Deadline-Ms": str(int((time.time() + invocation.timeout) * 1000)),
                        "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                        "Lambda-Runtime-Trace-Id": invocation.trace_header,
                    },
                )

            def do_POST(self) -> None:
                now = time.perf_counter()
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.path.endswith("/extension/register"):
                    function._is_extension = function._extensions
                    if function._extensions:
                        self.reply(200, "{}", {"Lambda-Extension-Identifier": "extension"})
                    else:
                        self.reply(404, "{}")
                    return
                *_, request_id, outcome = self.path.split("/")
                self.reply(202, "{}")
                if invocation := function._under_way.pop(request_id, None):
                    function.latencies.append(now - invocation.handed_out)
                    invocation.answer, invocation.failed = body, outcome == "error"
                    invocation.answered.set()

            def reply(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class FunctionError(Exception):
    """The error that a function answered with: `errorType` and `errorMessage`."""

    def __init__(self, document: dict[str, str]) -> None:
        super().__init__(f"{document.get('errorType')}: {document.get('errorMessage')}")
        self.document = document
