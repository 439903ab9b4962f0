"""The spans that X-Ray makes of API Gateway and Step Functions, and the trace header from service to service.

Spans go to ``OTEL_EXPORTER_OTLP_ENDPOINT`` (OTLP over HTTP), as the functions' spans do. Without it, nothing is
recorded, and a header is passed on unchanged. X-Ray also makes segments for Lambda itself; here the parent of a
function's span is the caller's span.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ministack import app
from ministack.services import lambda_svc
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

HEADER = "X-Amzn-Trace-Id"

_propagator = AwsXRayPropagator()
_tracer = trace.get_tracer("local-cloud")


@contextmanager
def continued(headers: dict[str, Any]) -> Iterator[None]:
    """Makes the parent in a request's header, if there is one, the current span."""
    value = next((value for name, value in headers.items() if name.lower() == HEADER.lower()), "")
    token = context.attach(_propagator.extract({HEADER: value}))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def span(name: str, service: str, is_traced: bool = True) -> Iterator[trace.Span]:
    """A span of an AWS service; an invalid span if the service is not traced."""
    if not is_traced:
        yield trace.INVALID_SPAN
        return
    attributes = {"aws.service": service}
    with _tracer.start_as_current_span(name, kind=trace.SpanKind.SERVER, attributes=attributes) as current:
        yield current


def headers() -> dict[str, str]:
    """The trace header of a request that the current span sends."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def install() -> None:
    global _tracer
    if endpoint := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        provider = TracerProvider(resource=Resource.create({"service.name": "local-cloud"}))
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
        _tracer = provider.get_tracer("local-cloud")

    dispatch = app._dispatch_service_request
    new_header = lambda_svc._xray_trace_id_for_invocation

    async def dispatch_in_trace(method: str, path: str, headers: dict[str, str], *more: Any) -> Any:
        with continued(headers):
            return await dispatch(method, path, headers, *more)

    def header_of_invocation(config: dict[str, Any], inbound: str | None = None) -> str | None:
        return headers().get(HEADER) or new_header(config, inbound)

    app._dispatch_service_request = dispatch_in_trace
    lambda_svc._xray_trace_id_for_invocation = header_of_invocation
