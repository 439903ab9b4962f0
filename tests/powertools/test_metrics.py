"""The blobs of `powertools::metrics`, compared with those of Metrics of Powertools for Python, for the same calls."""

import io
import json
import random
import re
import time
import warnings
from contextlib import nullcontext, redirect_stdout
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics.provider import cold_start
from examples import example
from runtime_api import Function, FunctionError

Blob = dict[str, Any]
Call = str | dict[str, Any]

INVOCATIONS = 200
ENVIRONMENT = {"POWERTOOLS_METRICS_NAMESPACE": "Shop", "POWERTOOLS_SERVICE_NAME": "orders"}
UNITS = {
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
    *(f"{scale}{unit}{per}" for unit in ("bytes", "bits") for scale in ("Kilo", "Mega", "Giga", "Tera")
      for per in ("", "/Second")),
    *("Bytes", "Bytes/Second", "Bits", "Bits/Second"),
}  # fmt: skip


def metric(name: str, value: float = 1, unit: str = "Count", high: bool = False) -> Call:
    return {"metric": {"name": name, "unit": unit, "value": value, "high": high}}


def assert_accepted(text: str, length: int) -> None:
    """The rules of CloudWatch's API reference for names and values, and those of its alarms for metric names."""
    assert 1 <= len(text) <= length
    assert re.fullmatch(r"[ -~]+", text)
    assert text.strip()


def assert_valid(blob: Blob) -> None:
    """The rules of the embedded metric format's published schema, and CloudWatch's limits, for a blob."""
    meta = blob["_aws"]
    assert abs(meta["Timestamp"] - time.time() * 1000) < 600_000
    [directive] = meta["CloudWatchMetrics"]
    assert_accepted(directive["Namespace"], 255)
    assert not directive["Namespace"].startswith(":")
    assert directive["Dimensions"]
    for dimensions in directive["Dimensions"]:
        assert len(dimensions) == len(set(dimensions)) <= 30
        for name in dimensions:
            assert_accepted(name, 255)
            assert not name.startswith(":")
            assert_accepted(blob[name], 1024)
    definitions = directive["Metrics"]
    assert 1 <= len(definitions) <= 100
    assert len({definition["Name"] for definition in definitions}) == len(definitions)
    for definition in definitions:
        assert_accepted(definition["Name"], 255)
        assert definition["Unit"] in UNITS
        assert definition.get("StorageResolution", 1) == 1
        values = blob[definition["Name"]]
        assert 1 <= len(values) <= 100
        assert all(isinstance(value, float) for value in values)
    assert len(json.dumps(blob)) < 256 * 1024


def rust_blobs(*invocations: list[Call], **environment: str) -> list[Blob]:
    with Function(example("compat_metrics"), {**ENVIRONMENT, **environment}) as function:
        for calls in invocations:
            with pytest.raises(FunctionError) if calls[-1] in ("fail", "panic") else nullcontext():
                function.invoke(calls)
        lines = function.stop()
    # Beside the logger's lines, which all have a level, if the example is built with the logger.
    blobs = [blob for line in lines if line.startswith("{") and "_aws" in (blob := json.loads(line))]
    for blob in blobs:
        assert_valid(blob)
    return blobs


def python_blobs(invocations: list[list[Call]], monkeypatch: pytest.MonkeyPatch) -> list[Blob]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cold_start, "is_cold_start", True)
    metrics = Metrics()
    metrics.set_default_dimensions(stage="test")

    @metrics.log_metrics(capture_cold_start_metric=True)
    def handler(calls: list[Call], _: object) -> None:
        for call in calls:
            [(kind, arguments)] = call.items()
            match kind:
                case "metric":
                    name, unit, value, high = arguments.values()
                    metrics.add_metric(name, unit, value, resolution=1 if high else 60)
                case "dimension":
                    metrics.add_dimension(**arguments)
                case "set":
                    metrics.add_dimensions(**arguments)
                case "metadata":
                    metrics.add_metadata(arguments["name"], arguments["value"])

    with redirect_stdout(io.StringIO()) as output, warnings.catch_warnings(action="ignore"):
        for calls in invocations:
            handler(calls, SimpleNamespace(function_name="example"))
    return [json.loads(line) for line in output.getvalue().splitlines()]


def comparable(blob: Blob) -> Blob:
    blob = json.loads(json.dumps(blob))
    del blob["_aws"]["Timestamp"]
    # The order of dimensions has no meaning: the service is first here, and last in Python.
    [directive] = blob["_aws"]["CloudWatchMetrics"]
    directive["Dimensions"] = [sorted(dimensions) for dimensions in directive["Dimensions"]]
    return blob


def random_calls(source: random.Random) -> list[Call]:
    def call() -> Call:
        match source.choices(["metric", "dimension", "set", "metadata"], weights=[90, 5, 2, 3])[0]:
            case "metric":
                number = source.randrange(150)
                # A name has one unit here. Python gives all values the last unit; Rust begins a new blob.
                unit = ["Count", "Bytes/Second", "None"][number % 3]
                return metric(f"m{number}", source.randrange(-1000, 1000) / 8, unit, number % 5 == 0)
            case "dimension":
                return {"dimension": {"name": f"d{source.randrange(4)}", "value": f"v{source.randrange(9)}"}}
            case "set":
                return {"set": {f"s{source.randrange(4)}": f"v{source.randrange(9)}" for _ in range(2)}}
            case _:
                return {"metadata": {"name": f"n{source.randrange(3)}", "value": {"x": [source.randrange(9), None]}}}

    # Without a metric at the end, Python keeps the dimensions for the next invocation.
    return [*(call() for _ in range(source.choice([0, 1, 5, 30, 400]))), metric("last")]


def test_blobs_are_those_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(4)
    # Python counts a cold start when the first handler has ended, after the blobs that it wrote before its end.
    invocations = [[metric("first")], *(random_calls(source) for _ in range(INVOCATIONS))]
    # The maximum number of values of one metric in a blob.
    invocations.append([metric("m0", value) for value in range(250)])
    ours, theirs = rust_blobs(*invocations), python_blobs(invocations, monkeypatch)
    assert len(ours) > INVOCATIONS
    for our_blob, their_blob in zip(ours, theirs, strict=True):
        assert comparable(our_blob) == comparable(their_blob)


def test_all_of_250_metrics_are_written() -> None:
    blobs = rust_blobs([metric(f"m{number}", number) for number in range(250)])
    sizes = [len(blob["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for blob in blobs]
    assert sizes == [1, 100, 100, 50]
    written = {name: values for blob in blobs[1:] for name, values in blob.items() if name.startswith("m")}
    assert written == {f"m{number}": [number] for number in range(250)}


def test_a_cold_start_is_counted_once() -> None:
    cold_start, *others = rust_blobs([metric("a")], [metric("a")], POWERTOOLS_METRICS_FUNCTION_NAME="other")
    assert cold_start["ColdStart"] == [1.0]
    assert (cold_start["function_name"], cold_start["service"]) == ("other", "orders")
    assert len(others) == 2
    assert not any("ColdStart" in blob for blob in others)


def test_provisioned_concurrency_has_no_cold_start() -> None:
    [blob] = rust_blobs([metric("a")], AWS_LAMBDA_INITIALIZATION_TYPE="provisioned-concurrency")
    assert "ColdStart" not in blob


@pytest.mark.parametrize("end", ["fail", "panic"])
def test_metrics_are_written_when_the_handler_fails(end: str) -> None:
    dimension = {"dimension": {"name": "order", "value": "4711"}}
    _, failed, succeeded = rust_blobs([metric("a"), dimension, end], [metric("b")])
    assert (failed["a"], failed["order"]) == ([1.0], "4711")
    assert "order" not in succeeded
    assert "a" not in succeeded


@pytest.mark.parametrize(
    ("environment", "written"),
    [
        ({"POWERTOOLS_METRICS_DISABLED": "true"}, False),
        ({"POWERTOOLS_DEV": "true"}, False),
        ({"POWERTOOLS_DEV": "true", "POWERTOOLS_METRICS_DISABLED": "false"}, True),
    ],
)
def test_metrics_can_be_disabled(environment: dict[str, str], written: bool) -> None:
    assert bool(rust_blobs([metric("a")], **environment)) == written


def test_without_a_namespace_nothing_is_lost() -> None:
    _, blob = rust_blobs([metric("a")], POWERTOOLS_METRICS_NAMESPACE="", POWERTOOLS_SERVICE_NAME="")
    assert blob["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "default_namespace"
    assert blob["service"] == "service_undefined"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POWERTOOLS_METRICS_NAMESPACE", ":x"),
        ("POWERTOOLS_METRICS_NAMESPACE", "x" * 256),
        ("POWERTOOLS_METRICS_NAMESPACE", "Köln"),
        ("POWERTOOLS_SERVICE_NAME", " "),
        ("POWERTOOLS_SERVICE_NAME", "Köln"),
        ("POWERTOOLS_SERVICE_NAME", "a\tb"),
        ("POWERTOOLS_METRICS_FUNCTION_NAME", "Köln"),
    ],
)
def test_what_cloudwatch_would_refuse_is_reported_and_no_metric_is_lost(variable: str, value: str) -> None:
    with Function(example("compat_metrics"), {**ENVIRONMENT, variable: value}) as function:
        function.invoke([metric("a")])
        lines = [json.loads(line) for line in function.stop()]
    blobs = [line for line in lines if "_aws" in line]
    assert len(blobs) == 2
    for blob in blobs:
        assert_valid(blob)
    assert [line["level"] for line in lines if line.get("message", "").startswith(variable)] == ["WARN"]


@pytest.mark.parametrize("call", [
    metric("Größe"),
    metric("a\nb"),
    {"dimension": {"name": "Stadt", "value": "Köln"}},
    {"dimension": {"name": "Straße", "value": "x"}},
    {"set": {"Stadt": "Köln"}},
    {"set": {}},
])  # fmt: skip
def test_what_cloudwatch_would_refuse_is_left_out_with_a_warning(call: Call) -> None:
    with Function(example("compat_metrics"), ENVIRONMENT) as function:
        function.invoke([metric("a"), call])
        lines = [json.loads(line) for line in function.stop()]
    _, blob = [line for line in lines if "_aws" in line]
    assert_valid(blob)
    assert blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service", "stage"]]
    assert "WARN" in [line["level"] for line in lines if "omitted" in line.get("message", "")]


def test_the_example() -> None:
    with Function(example("metrics"), ENVIRONMENT) as function:
        function.invoke({"id": "4711", "country": "DE", "items": 3})
        blobs = [json.loads(line) for line in function.stop()]
    for blob in blobs:
        assert_valid(blob)
    assert (blobs[1]["Items"], blobs[1]["country"], blobs[1]["order_id"]) == ([3.0], "DE", "4711")
