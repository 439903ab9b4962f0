"""One tree of spans connects a request with all work that it causes in functions."""

import uuid

import pytest
import requests
from account_requests import account
from otlp import Collector, Span
from stack import Stack


@pytest.mark.usefixtures("local_cloud")
def test_an_account_request_is_one_tree_from_the_api_to_the_calls_of_the_sdk(
    stack: Stack, collector: Collector
) -> None:
    trace_id, client_id = f"5759e988{uuid.uuid4().hex[:24]}", "53995c3f42cd8ad8"
    header = f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent={client_id};Sampled=1"
    request = account()
    answer = requests.post(
        f"{stack.api_url('accounts')}/accounts", json=request, headers={"X-Amzn-Trace-Id": header}, timeout=60
    )
    assert answer.status_code == 201, answer.text

    def of_trace(spans: list[Span]) -> dict[str, Span]:
        return {span.span_id: span for span in spans if span.trace_id == trace_id}

    def has_ended(spans: list[Span]) -> bool:
        return any(span.parent_id == client_id for span in of_trace(spans).values())

    spans = of_trace(collector.wait(has_ended))
    # Only the API's span is below the client's; all others are below another span of the same trace.
    assert {span.parent_id for span in spans.values()} - spans.keys() == {client_id}

    def path(span: Span) -> list[str]:
        """The chain of spans from the request to this one."""
        above = spans.get(span.parent_id)
        kind = span.attributes.get("aws.service") or ("function" if "faas.invocation_id" in span.attributes else None)
        return [*(path(above) if above else []), kind or span.name]

    paths = {tuple(path(span)) for span in spans.values()}
    assert ("apigateway", "states", "states", "function", "DynamoDB.TransactWriteItems") in paths, paths
    [created] = [span for span in spans.values() if span.annotations.get("outcome") == "CREATED"]
    assert created.annotations["student_id"]
    assert request["email"] not in repr(list(spans.values()))
