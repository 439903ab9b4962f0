"""The lines of `powertools::logger`, compared with those of Logger of Powertools for Python, for the same calls."""

import io
import json
import logging
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from examples import example
from runtime_api import FUNCTION_ARN, TRACE_HEADER, Function, FunctionError

Line = dict[str, Any]

REQUEST_ID = re.compile(r"[0-9a-f-]{36}")


def rust_lines(*events: Line, example_name: str = "compat_logger", **environment: str) -> list[Line]:
    with Function(example(example_name), environment) as function:
        for event in events:
            with pytest.raises(FunctionError) if event.get("call") in ("panic", "fail") else nullcontext():
                function.invoke(event)
        return [json.loads(line) for line in function.stop()]


def python_lines(call: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[Line]:
    for name, value in {"_X_AMZN_TRACE_ID": TRACE_HEADER, **environment}.items():
        monkeypatch.setenv(name, value)
    # As in a new process, because loggers of one service share level, keys and stream.
    monkeypatch.setattr("aws_lambda_powertools.logging.logger.is_cold_start", True)
    monkeypatch.setattr(logging.Logger.manager, "loggerDict", {})
    stream = io.StringIO()
    # Lambda's filter reads only this format of time.
    logger = Logger(stream=stream, use_rfc3339=True, utc=True)

    @logger.inject_lambda_context(clear_state=True)
    def handler(_: object, __: object) -> None:
        match call:
            case "levels":
                logger.debug("a debug")
                logger.info("an info")
                logger.warning("a warning")
                logger.error("an error")
            case "fields":
                logger.info("with fields", extra={"text": 'é\n"', "whole": 1, "part": 1.5, "yes": True, "none": None})
                logger.info('{"a":{"b":[1,null]}}')
                logger.info('{"z":123456789012345678901234567890,"a":[1.25,1e3]}')
                logger.info("[not JSON]")
            case "keys":
                logger.info("before")
                logger.set_correlation_id("correlation")
                logger.append_keys(order=1, cart={"items": [1, 2]}, gone="x")
                logger.append_keys(gone=None, order=2)
                logger.info("after")
                logger.info("replaced", extra={"order": 3})

    handler(
        {},
        SimpleNamespace(
            function_name="example",
            memory_limit_in_mb=128,
            invoked_function_arn=FUNCTION_ARN,
            aws_request_id="00000000-0000-0000-0000-000000000000",
        ),
    )
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def comparable(line: Line, rust: bool) -> Line:
    line = dict(line)
    # The module, where Python names the function; the line number is that of either file.
    assert re.fullmatch(r"compat_logger:\d+" if rust else r"handler:\d+", line.pop("location"))
    # In UTC with milliseconds; the time zone has two names.
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+00:00)", line.pop("timestamp"))
    # These differ for each invocation.
    assert REQUEST_ID.fullmatch(line.pop("function_request_id"))
    # Lambda's filter knows WARN; it treats any other level as INFO.
    line["level"] = {"WARNING": "WARN"}.get(line["level"], line["level"])
    # A number, where Python repeats the text of the variable.
    if "sampling_rate" in line:
        line["sampling_rate"] = float(line["sampling_rate"])
    return line


@pytest.mark.parametrize("call", ["levels", "fields", "keys"])
def test_lines_are_those_of_python(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"POWERTOOLS_SERVICE_NAME": "shop"} if call == "keys" else {}
    ours = rust_lines({"call": call}, **environment)
    theirs = python_lines(call, monkeypatch, **environment)
    assert [comparable(line, rust=True) for line in ours] == [comparable(line, rust=False) for line in theirs]
    # The common keys come in the same order, up to the first key without a fixed place in Python.
    for our_line, their_line in zip(ours, theirs, strict=True):
        common = [key for key in their_line if key != "xray_trace_id"][
            : 10 if "correlation_id" not in their_line else 11
        ]
        assert [key for key in our_line if key in common][: len(common)] == common


@pytest.mark.parametrize(
    ("environment", "levels"),
    [
        ({}, ["INFO", "WARN", "ERROR"]),
        ({"POWERTOOLS_LOG_LEVEL": "ERROR"}, ["ERROR"]),
        ({"LOG_LEVEL": "warning"}, ["WARN", "ERROR"]),
        ({"AWS_LAMBDA_LOG_LEVEL": "WARN", "POWERTOOLS_LOG_LEVEL": "CRITICAL"}, ["WARN", "ERROR"]),
        ({"POWERTOOLS_LOG_LEVEL": "ERROR", "POWERTOOLS_LOGGER_SAMPLE_RATE": "0"}, ["ERROR"]),
        ({"POWERTOOLS_LOG_LEVEL": "ERROR", "POWERTOOLS_LOGGER_SAMPLE_RATE": "1"}, ["DEBUG", "INFO", "WARN", "ERROR"]),
    ],
)
def test_the_environment_sets_the_level(
    environment: dict[str, str], levels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_the_handler(lines: list[Line]) -> list[Line]:
        return [line for line in lines if line["location"].startswith("compat_logger")]

    ours = of_the_handler(rust_lines({"call": "levels"}, **environment))
    theirs = python_lines("levels", monkeypatch, **environment)
    # Python's own message about the sample.
    theirs = [line for line in theirs if line["message"] != "Setting log level to DEBUG due to sampling rate"]
    assert [line["level"] for line in ours] == levels
    assert [comparable(line, rust=True) for line in ours] == [comparable(line, rust=False) for line in theirs]


def test_each_invocation_is_sampled_or_not() -> None:
    environment = {"POWERTOOLS_LOG_LEVEL": "ERROR", "POWERTOOLS_LOGGER_SAMPLE_RATE": "0.5"}
    invocations: dict[str, list[str]] = {}
    for line in rust_lines(*[{"call": "levels"}] * 60, **environment):
        if line["location"].startswith("compat_logger"):
            invocations.setdefault(line["function_request_id"], []).append(line["level"])
    assert len(invocations) == 60
    # The probability that all or none are sampled is that of 59 equal coin tosses.
    assert {tuple(levels) for levels in invocations.values()} == {("ERROR",), ("DEBUG", "INFO", "WARN", "ERROR")}


def test_keys_end_with_their_invocation() -> None:
    before, _, _, first, *_ = lines = rust_lines({"call": "keys"}, {"call": "keys"})
    assert (before["cold_start"], first["cold_start"]) == (True, False)
    assert lines[3].keys() == before.keys()


def test_a_bad_variable_is_reported_and_the_function_starts() -> None:
    lines = rust_lines(
        {"call": "levels"},
        POWERTOOLS_LOG_LEVEL="loud",
        POWERTOOLS_LOGGER_SAMPLE_RATE="often",
        POWERTOOLS_DEV="perhaps",
        RUST_LOG="a=b=c",
    )
    warnings = [line["message"] for line in lines if "function_name" not in line]
    for name in ("POWERTOOLS_LOG_LEVEL", "POWERTOOLS_LOGGER_SAMPLE_RATE", "POWERTOOLS_DEV", "RUST_LOG"):
        assert sum(name in warning for warning in warnings) == 1, warnings
    assert [line["level"] for line in lines if "function_name" in line] == ["INFO", "WARN", "ERROR"]


def test_lines_are_indented_while_developing() -> None:
    with Function(example("compat_logger"), {"POWERTOOLS_DEV": "true"}) as function:
        function.invoke({"call": "levels"})
        lines = function.stop()
    assert lines[0] == "{"
    assert lines[1] == '    "level": "INFO",'


def test_a_failure_is_one_line_of_the_invocation() -> None:
    lines = rust_lines({"call": "fail"}, {"call": "panic"})
    assert [line["exception"] for line in lines] == ["this can be", "this should not be"]
    assert [line["level"] for line in lines] == ["ERROR", "ERROR"]
    assert len({line["function_request_id"] for line in lines}) == 2
    assert lines[1]["exception_name"] == "panic"
    assert re.fullmatch(r"panicked at .*compat_logger\.rs:\d+:\d+", lines[1]["message"])


# The runtime logs the whole event at this level.
@pytest.mark.parametrize("level", ["INFO", "TRACE"])
def test_a_personal_value_is_nowhere(level: str) -> None:
    event = {"call": "personal", "email": "SECRET", "records": [{"body": json.dumps({"Email": "SECRET"})}]}
    lines = rust_lines({**event, "value": "SECRET"}, POWERTOOLS_LOG_LEVEL=level)
    half, line = [line for line in lines if line["location"].startswith("compat_logger")]
    assert half["customer.email"] == "*****"
    assert half["half"].endswith("*****")
    assert line["email"] == line["iban"] == "*****"
    assert line["customer"] == [{"IBAN": "*****"}]
    assert line["card"] == {"iban": "*****"}
    assert line["error"] == "no such customer"
    # A value without a known name can't be masked: here, the test's own value.
    written = [json.dumps(line) for line in lines]
    assert not any("SECRET" in line.replace('"value": "SECRET"', "") for line in written)


# JSON that serde_json refuses, though other languages write it.
@pytest.mark.parametrize(
    "event",
    [
        r'{"email": "SECRET", "note": "hi \ud83d"}',
        '{"email": "SECRET", "number": 1e999}',
        '{"email": "SECRET", "deep": ' + "[" * 130 + "]" * 130 + "}",
        '{"email": "SECRET"}{"email": "SECRET"}',
        '\ufeff{"email": "SECRET"}',
        '{"records": [{"body": "{\\"email\\": \\"SECRET\\"',
    ],
    ids=["lone surrogate", "beyond a double", "deep", "two documents", "byte order mark", "cut off"],
)
def test_no_event_is_logged_with_a_personal_value(event: str) -> None:
    with Function(example("compat_logger"), {"POWERTOOLS_LOG_LEVEL": "TRACE"}) as function:
        with pytest.raises(FunctionError):
            function.invoke_text(event)
        lines = function.stop()
    assert [line for line in lines if "raw JSON event" in line]
    assert not [line for line in lines if "SECRET" in line]


def test_a_subscriber_and_a_panic_hook_of_ones_own_stay() -> None:
    with Function(example("compat_subscriber"), {"POWERTOOLS_METRICS_NAMESPACE": ":x"}) as function:
        function.invoke("take")
        with pytest.raises(FunctionError, match=r"Builder::build"):
            function.invoke("init")
        with pytest.raises(FunctionError):
            function.invoke("panic")
        lines = function.stop()
    ours = [json.loads(line) for line in lines if line.startswith("{")]
    # Errors in the environment are reported, although the subscriber came later.
    assert "POWERTOOLS_METRICS_NAMESPACE" in ours[0]["message"]
    assert [line["message"] for line in ours if line.get("location", "").startswith("compat_sub")] == ["taken"] * 3
    assert [blob["Orders"] for blob in ours if "_aws" in blob] == [[1.0]] * 3
    assert [line["exception_name"] for line in ours if "exception" in line][-1] == "panic"
    assert lines.count("own event of compat_subscriber") == 3
    assert lines.count("own hook") == 1


def test_the_example() -> None:
    order = {"id": "4711", "email": "SECRET", "items": 2, "request": "r"}
    charging, taken = rust_lines(order, example_name="logger")
    assert (charging["message"], charging["items"], charging["email"]) == ("charging", 2, "*****")
    assert (taken["message"], taken["price"], taken["order_id"]) == ("order taken", 10, "4711")
    assert charging["correlation_id"] == taken["correlation_id"] == "r"
