"""Receivers of OpenTelemetry's protocol: a collector over HTTP, and the X-Ray daemon of Lambda."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

DAEMON_PREFIX = b'{"format":"json","version":1}\nT1S'
SECONDS_TO_ARRIVE = 5


@dataclass
class Span:
    """A received span; ids in hexadecimal digits."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    failed: bool
    message: str
    attributes: dict[str, Any]
    exceptions: list[dict[str, Any]]
    resource: dict[str, Any]

    @property
    def annotations(self) -> dict[str, Any]:
        return {name: self.attributes[name] for name in self.attributes.get("aws.xray.annotations", ())}


@dataclass
class Spans:
    """The received requests and spans."""

    received: list[Span] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, message: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(message)
        with self._changed:
            for resource in request.resource_spans:
                attributes = _attributes(resource.resource.attributes)
                self.received += [_span(span, attributes) for scope in resource.scope_spans for span in scope.spans]
            self._changed.notify_all()

    def wait(self, condition: Callable[[list[Span]], bool], seconds: float = SECONDS_TO_ARRIVE) -> list[Span]:
        """Returns all spans as soon as the condition holds; fails with the received ones if it does not hold."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.received), seconds), [
                (span.name, span.attributes.keys()) for span in self.received[:10]
            ]
            return list(self.received)

    def named(self, name: str) -> Span:
        [span] = [span for span in self.wait(lambda spans: any(s.name == name for s in spans)) if span.name == name]
        return span


def _span(span: trace_pb2.Span, resource: dict[str, Any]) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        message=span.status.message,
        attributes=_attributes(span.attributes),
        exceptions=[_attributes(event.attributes) for event in span.events if event.name == "exception"],
        resource=resource,
    )


def _attributes(attributes: Any) -> dict[str, Any]:
    names = [attribute.key for attribute in attributes]
    assert len(names) == len(set(names)), f"an attribute comes twice: {names}"
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


class Collector(Spans):
    """A collector at `endpoint`; while `held`, it accepts requests and does not answer them."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []
        """Of each request."""
        self.answering = threading.Event()
        self.answering.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_ours = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                if is_ours:
                    collector.headers.append(dict(self.headers))
                    collector.add(body)
                collector.answering.wait()
                self.send_response(200 if is_ours else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def held(self) -> Iterator[None]:
        self.answering.clear()
        yield
        self.answering.set()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Daemon(Spans):
    """The X-Ray daemon at `address`."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        super().__init__()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        host, port, *_ = self._socket.getsockname()
        self.address = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while datagram := self._socket.recv(1 << 16):
            assert datagram.startswith(DAEMON_PREFIX)
            self.add(base64.b64decode(datagram[len(DAEMON_PREFIX) :], validate=True))

    def stop(self) -> None:
        # An empty datagram ends the thread.
        self._socket.sendto(b"", self._socket.getsockname())
