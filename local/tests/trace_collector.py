"""Takes spans as OpenTelemetry's collector does, over HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SECONDS_TO_ARRIVE = 5


class Collector:
    """A collector at ``endpoint``."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def _take(self, message: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(message)
        with self._changed:
            for resource in request.resource_spans:
                self._spans += [span for scope in resource.scope_spans for span in scope.spans]
            self._changed.notify_all()

    def named(self, name: str) -> Span:
        """The span of this name, which may still be under way."""

        def found() -> list[Span]:
            return [span for span in self._spans if span.name == name]

        with self._changed:
            assert self._changed.wait_for(found, SECONDS_TO_ARRIVE), [span.name for span in self._spans]
            [span] = found()
            return span

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
