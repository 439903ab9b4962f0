"""The spans that `powertools::tracer` sends to the X-Ray daemon and to a collector."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from examples import example
from otlp import Collector, Daemon, Span
from runtime_api import FUNCTION_ARN, Function, FunctionError

TRACE_ID = "5759e988bd862e3fe1be46a994272793"
PARENT_ID = "53995c3f42cd8ad8"


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture
def compat() -> Path:
    return example("compat_tracer")


class DynamoDb:
    """Answers each request with an empty object, and keeps the request's trace header."""

    def __init__(self) -> None:
        self.trace_headers: list[str] = []
        self.status = 200
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                service.trace_headers += self.headers.get_all("X-Amzn-Trace-Id")
                self.send_response(service.status)
                self.send_header("x-amzn-RequestId", "request-of-dynamodb")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def dynamodb() -> Iterator[DynamoDb]:
    dynamodb = DynamoDb()
    yield dynamodb
    dynamodb.stop()


def assert_trace(spans: list[Span], header: str) -> None:
    """One tree, from the invocation's parent to the SDK's call, which the called service continues."""
    [invocation, found, call] = [
        next(span for span in spans if span.name == name) for name in ("example", "find", "DynamoDB.GetItem")
    ]
    assert len(spans) == 3
    assert {span.trace_id for span in spans} == {TRACE_ID}
    assert (invocation.parent_id, found.parent_id, call.parent_id) == (PARENT_ID, invocation.span_id, found.span_id)
    assert (invocation.kind, found.kind, call.kind) == ("SERVER", "INTERNAL", "CLIENT")
    assert invocation.annotations == {"ColdStart": True, "Service": "orders", "order_id": "o-1"}
    assert invocation.attributes["cloud.resource_id"] == FUNCTION_ARN
    assert invocation.attributes["faas.coldstart"] is True
    assert found.attributes["found"] is False
    assert call.attributes["rpc.method"] == "GetItem"
    assert call.attributes["aws.request_id"] == "request-of-dynamodb"
    assert call.resource["service.name"] == "orders"
    assert call.resource["faas.name"] == "example"
    assert header == f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={call.span_id};Sampled=1"


@pytest.mark.parametrize("exporter", ["collector", "daemon"])
def test_a_trace_goes_from_the_invocations_parent_to_the_service_that_is_called(
    exporter: str, collector: Collector, daemon: Daemon, dynamodb: DynamoDb
) -> None:
    environment = {"AWS_ENDPOINT_URL": dynamodb.endpoint, "POWERTOOLS_SERVICE_NAME": "orders"}
    environment["AWS_XRAY_DAEMON_ADDRESS"] = daemon.address
    if exporter == "collector":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"{collector.endpoint}/"
    receiver = {"collector": collector, "daemon": daemon}[exporter]
    with Function(example("tracer"), environment) as function:
        assert function.invoke({"order_id": "o-1"}) is False
        spans = receiver.wait(lambda spans: len(spans) == 3)
        assert_trace(spans, dynamodb.trace_headers[0])
        function.invoke({"order_id": "o-2"})
        spans = receiver.wait(lambda spans: len(spans) == 6)
    assert [span.annotations["ColdStart"] for span in spans if span.name == "example"] == [True, False]


def test_a_call_that_fails_is_marked_and_so_is_each_span_that_it_makes_fail(daemon: Daemon, dynamodb: DynamoDb) -> None:
    dynamodb.status = 400
    environment = {"AWS_ENDPOINT_URL": dynamodb.endpoint, "AWS_XRAY_DAEMON_ADDRESS": daemon.address}
    with Function(example("tracer"), environment) as function, pytest.raises(FunctionError):
        function.invoke({"order_id": "o-1"})
    spans = daemon.wait(lambda spans: len(spans) == 3)
    assert all(span.failed for span in spans)
    assert daemon.named("DynamoDB.GetItem").attributes["http.response.status_code"] == 400
    assert len(daemon.named("find").exceptions) == 1


def test_an_error_and_a_panic_are_recorded(daemon: Daemon, compat: Path) -> None:
    with Function(compat, {"AWS_XRAY_DAEMON_ADDRESS": daemon.address}) as function:
        with pytest.raises(FunctionError, match="Unlucky"):
            function.invoke({"fail": "of ada@school.example"})
        with pytest.raises(FunctionError):
            function.invoke("panic")
        [error, panic] = daemon.wait(lambda spans: len(spans) == 2)
    assert error.failed
    assert error.message == "of ada@school.example"
    assert error.exceptions == [{"exception.type": "Unlucky", "exception.message": "of ada@school.example"}]
    assert panic.failed
    assert panic.attributes["error.type"] == "panic"


def test_messages_of_errors_can_be_left_out(daemon: Daemon, compat: Path) -> None:
    environment = {"AWS_XRAY_DAEMON_ADDRESS": daemon.address, "POWERTOOLS_TRACER_CAPTURE_ERROR": "false"}
    with Function(compat, environment) as function, pytest.raises(FunctionError):
        function.invoke({"fail": "of ada@school.example"})
    [error] = daemon.wait(lambda spans: len(spans) == 1)
    assert error.failed
    assert error.exceptions == [{"exception.type": "Unlucky"}]
    assert "ada" not in repr(error)


def test_the_answer_comes_before_the_export_and_the_export_before_lambda_may_freeze_the_function(
    collector: Collector, compat: Path
) -> None:
    with Function(compat, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}, extensions=True) as function:
        for count in (1, 2, 3):
            assert function.extension_waits.wait(5)
            with collector.held():
                begin = time.monotonic()
                # Long enough for the extension to hear of the invocation before it ends.
                function.invoke({"work": 50})
                assert time.monotonic() - begin < 0.5
                collector.wait(lambda spans, count=count: len(spans) == count)
                assert not function.extension_waits.wait(0.05)
        assert function.extension_waits.wait(5)
        # An event that can't be read never reaches the handler, but the function can be frozen all the same.
        with pytest.raises(FunctionError):
            function.invoke("not an act")
        assert function.extension_waits.wait(5)
        function.invoke({"spans": [0, 0]})
        collector.wait(lambda spans: len(spans) == 4)


def test_without_an_extension_the_export_comes_before_the_answer(collector: Collector, compat: Path) -> None:
    with Function(compat, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}) as function:
        for count in range(1, 21):
            function.invoke({"spans": [0, 0]})
            assert len(collector.received) == count
        # While a panic unwinds, nothing can be awaited.
        with pytest.raises(FunctionError):
            function.invoke("panic")
        assert len(collector.received) == count + 1


def test_invocations_that_end_together_wait_for_the_collector_together(collector: Collector, compat: Path) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "AWS_LAMBDA_MAX_CONCURRENCY": "8"}
    with Function(compat, environment) as function, ThreadPoolExecutor(8) as pool:
        with collector.held():
            invocations = [pool.submit(function.invoke, {"spans": [0, 0]}) for _ in range(8)]
            # One after the other, each call would wait for all earlier ones.
            collector.wait(lambda spans: len(spans) == 8)
        for invocation in invocations:
            invocation.result()


def test_a_collector_that_does_not_answer_costs_spans_and_no_invocation(collector: Collector, compat: Path) -> None:
    with Function(compat, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}) as function:
        with collector.held():
            function.invoke({"spans": [0, 0]}, timeout=3)
        collector.stop()
        function.invoke({"spans": [0, 0]})


def test_many_and_large_spans_all_arrive(daemon: Daemon, collector: Collector, compat: Path) -> None:
    for environment, receiver in (
        ({"AWS_XRAY_DAEMON_ADDRESS": daemon.address}, daemon),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}, collector),
    ):
        with Function(compat, environment) as function:
            function.invoke({"spans": [600, 10]})
            function.invoke({"spans": [3, 30_000]})
            spans = receiver.wait(lambda spans: len(spans) == 605)
        invocations = {span.span_id for span in spans if span.name == "example"}
        assert {span.parent_id for span in spans if span.name == "work"} == invocations


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("POWERTOOLS_TRACE_DISABLED", "1"), ("OTEL_TRACES_EXPORTER", "none")],
)
def test_tracing_can_be_turned_off(name: str, value: str, daemon: Daemon, dynamodb: DynamoDb) -> None:
    environment = {
        "AWS_ENDPOINT_URL": dynamodb.endpoint,
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
        name: value,
    }
    with Function(example("tracer"), environment) as function:
        function.invoke({"order_id": "o-1"})
    assert daemon.received == []
    # The called service continues below Lambda's own span.
    assert dynamodb.trace_headers == [f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={PARENT_ID};Sampled=1"]


def test_what_lambda_does_not_sample_is_not_exported_and_the_decision_goes_on(
    daemon: Daemon, dynamodb: DynamoDb
) -> None:
    header = f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={PARENT_ID};Sampled=0;Lineage=a87bd80c:1"
    environment = {"AWS_ENDPOINT_URL": dynamodb.endpoint, "AWS_XRAY_DAEMON_ADDRESS": daemon.address}
    with Function(example("tracer"), environment) as function:
        function.invoke({"order_id": "o-1"}, header)
        function.invoke({"order_id": "o-2"}, header.replace("Sampled=0", "Sampled=1"))
        spans = daemon.wait(lambda spans: len(spans) == 3)
    assert spans[-1].annotations["order_id"] == "o-2"
    assert [header.rpartition("Sampled=")[2] for header in dynamodb.trace_headers] == [
        "0;Lineage=a87bd80c:1",
        "1;Lineage=a87bd80c:1",
    ]


def test_headers_for_the_collector_go_with_each_export(collector: Collector, compat: Path) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20YTpi,X-Tenant=school",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    with Function(compat, environment) as function:
        function.invoke({"spans": [0, 0]})
        function.invoke({"spans": [0, 0]})
    sent = [{name.lower(): value for name, value in headers.items()} for headers in collector.headers]
    assert [(headers["authorization"], headers["x-tenant"]) for headers in sent] == [("Basic YTpi", "school")] * 2


def test_the_daemon_can_have_an_ipv6_address(compat: Path) -> None:
    daemon = Daemon(socket.AF_INET6)
    for address in (daemon.address, f"tcp:127.0.0.1:1 udp:{daemon.address}"):
        with Function(compat, {"AWS_XRAY_DAEMON_ADDRESS": address}) as function:
            function.invoke({"spans": [0, 0]})
    daemon.wait(lambda spans: len(spans) == 2)
    daemon.stop()


def test_a_setting_that_can_not_be_is_a_warning(compat: Path) -> None:
    otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    for environment, hint in (
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "otlp, xray or none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example"}, "http://"),
        ({"AWS_XRAY_DAEMON_ADDRESS": "nowhere"}, "<address>:<port>"),
        ({**otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is"),
        ({**otlp, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is"),
        ({**otlp, "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, "OTEL_EXPORTER_OTLP_HEADERS is not valid"),
    ):
        with Function(compat, environment) as function:
            function.invoke({"spans": [0, 0]})
        [warning] = [line for line in function.lines if hint in line]
        assert "secret" not in warning
