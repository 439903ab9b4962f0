"""The processors of `powertools::batch` answer as those of Powertools for Python do, to the same events and failures.

Random values come from one seed, so that a failure can be repeated.
"""

import asyncio
import json
import random
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from examples import ROOT, example
from runtime_api import Function, FunctionError

EVENTS = 400
EVENT_TYPES = {
    "sqs": EventType.SQS,
    "sqs_fifo": EventType.SQS,
    "kinesis": EventType.KinesisDataStreams,
    "dynamodb": EventType.DynamoDBStreams,
}
WHOLE_BATCH = "Lambda retries the whole batch"

Event = dict[str, Any]


@pytest.fixture(scope="module")
def function() -> Iterator[Function]:
    with Function(example("compat_batch")) as function:
        yield function


@cache
def fixtures() -> Path:
    """The examples of events from `aws_lambda_events`."""
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    [manifest] = [
        package["manifest_path"] for package in metadata["packages"] if package["name"] == "aws_lambda_events"
    ]
    return Path(manifest).parent / "src" / "fixtures"


def published(name: str) -> Event:
    return json.loads((fixtures() / f"example-{name}.json").read_text())


@cache
def template(source: str) -> Event:
    return published(f"{source.removesuffix('_fifo')}-event")["Records"][0]


def set_identifier(record: Event, identifier: str | None) -> None:
    owner, key = {
        "aws:sqs": (record, "messageId"),
        "aws:kinesis": (record.get("kinesis"), "sequenceNumber"),
        "aws:dynamodb": (record.get("dynamodb"), "SequenceNumber"),
    }[record["eventSource"]]
    del owner[key]
    if identifier is not None:
        owner[key] = identifier


def spoil(record: Event) -> None:
    """Makes the record unreadable for both sides."""
    match record["eventSource"]:
        case "aws:sqs":
            record["body"] = 1
        case "aws:kinesis":
            record["kinesis"]["data"] = 1
        case "aws:dynamodb":
            record["dynamodb"]["NewImage"] = "odd"


def random_event(generator: random.Random, source: str, nameless: float = 0) -> Event:
    failing = generator.choice([0, 0.2, 0.5, 1])
    records = []
    for number in range(generator.randint(1, 8)):
        record = deepcopy(template(source))
        # The first sequence number has fewer digits: the lowest number is not the first in the alphabet.
        set_identifier(record, None if generator.random() < nameless else str(998 + number))
        if source == "sqs_fifo" and generator.random() < 0.9:
            record["attributes"]["MessageGroupId"] = generator.choice(["", "a", "b"])
        if generator.random() < failing:
            record["outcome"] = generator.choice(["error", "panic", "malformed"])
        if record.get("outcome") == "malformed":
            spoil(record)
            del record["outcome"]
        record["pauses"] = generator.randint(0, 2)
        records.append(record)
    return {"Records": records, "raise_on_entire_batch_failure": generator.choice([True, False])}


def follow(record: Any) -> None:
    """Does what the record says, which it must be able to read."""
    match record["eventSource"]:
        case "aws:sqs":
            assert isinstance(record.body, str)
        case "aws:kinesis":
            record.kinesis.data_as_bytes()
        case "aws:dynamodb":
            assert record.dynamodb.new_image
    if outcome := record.get("outcome"):
        raise RuntimeError(outcome)


async def follow_with_pauses(record: Any) -> None:
    for _ in range(record["pauses"]):
        await asyncio.sleep(0)
    follow(record)


def python(event: Event, processor: BatchProcessor | AsyncBatchProcessor) -> Any:
    processor.raise_on_entire_batch_failure = event["raise_on_entire_batch_failure"]
    try:
        if isinstance(processor, AsyncBatchProcessor):
            response = async_process_partial_response(event, follow_with_pauses, processor)
            # Python lists failures in the order in which they happened.
            response["batchItemFailures"].sort(key=lambda failure: int(failure["itemIdentifier"]))
        else:
            response = process_partial_response(event, follow, processor)
    except BatchProcessingError as error:
        return type(error).__name__
    except KeyError:
        # In Python, a failed record without an identifier fails the function in this way.
        return WHOLE_BATCH
    return summary(response)


def rust(function: Function, event: Event, source: str, **settings: Any) -> Any:
    try:
        response = function.invoke({**event, "source": source, **settings})
    except FunctionError as error:
        return error.document["errorType"]
    return summary(response)


def summary(response: Event) -> Any:
    return WHOLE_BATCH if {"itemIdentifier": None} in response["batchItemFailures"] else response


@pytest.mark.parametrize("source", ["sqs", "kinesis", "dynamodb"])
def test_every_failure_is_reported(function: Function, source: str) -> None:
    generator = random.Random(1)
    for _ in range(EVENTS):
        event = random_event(generator, source, nameless=generator.choice([0, 0, 0.2]))
        processor = BatchProcessor(EVENT_TYPES[source])
        assert rust(function, event, source, after_failure="continue") == python(event, processor), event


@pytest.mark.parametrize("source", ["sqs", "kinesis", "dynamodb"])
def test_every_failure_is_reported_by_many_handlers_at_once(function: Function, source: str) -> None:
    generator = random.Random(2)
    for _ in range(EVENTS // 2):
        event = random_event(generator, source)
        concurrency = generator.randint(2, 10)
        ours = rust(function, event, source, after_failure="continue", concurrency=concurrency)
        assert ours == python(event, AsyncBatchProcessor(EVENT_TYPES[source])), event


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_a_fifo_queue_keeps_its_order(function: Function, skip_group_on_error: bool) -> None:
    generator = random.Random(3)
    settings = {"after_failure": "skip_group"} if skip_group_on_error else {}
    for _ in range(EVENTS):
        event = random_event(generator, "sqs_fifo")
        theirs = python(event, SqsFifoPartialProcessor(skip_group_on_error=skip_group_on_error))
        assert rust(function, event, "sqs_fifo", **settings) == theirs, event
        if skip_group_on_error:
            # Groups that are processed concurrently have the same result.
            assert rust(function, event, "sqs_fifo", concurrency=3, **settings) == theirs, event


@pytest.mark.parametrize("source", ["kinesis", "dynamodb"])
def test_a_stream_stops_at_the_checkpoint_that_lambda_takes_from_all_failures(function: Function, source: str) -> None:
    generator = random.Random(4)
    for _ in range(EVENTS):
        event = random_event(generator, source) | {"raise_on_entire_batch_failure": False}
        failures = python(event, BatchProcessor(EVENT_TYPES[source]))["batchItemFailures"]
        lowest = sorted(failures, key=lambda failure: int(failure["itemIdentifier"]))[:1]
        for concurrency in [1, generator.randint(2, 5)]:
            assert rust(function, event, source, concurrency=concurrency) == {"batchItemFailures": lowest}, event


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("sqs", "sqs-event"),
        ("sqs", "sqs-event-obj"),
        ("kinesis", "kinesis-event"),
        ("kinesis", "kinesis-event-encrypted"),
        ("dynamodb", "dynamodb-event"),
        ("dynamodb", "dynamodb-event-null-items"),
        ("dynamodb", "dynamodb-event-record-with-optional-fields"),
    ],
)
def test_published_events_are_read(function: Function, source: str, name: str) -> None:
    event = published(name)
    event = event if "Records" in event else {"Records": [event]}
    assert rust(function, event, source) == {"batchItemFailures": []}
    for record in event["Records"]:
        record["outcome"] = "error"
    event["raise_on_entire_batch_failure"] = False
    theirs = python(event, BatchProcessor(EVENT_TYPES[source]))
    assert rust(function, event, source, after_failure="continue") == theirs


def test_each_failure_is_logged_once_with_nothing_of_its_record() -> None:
    records = [deepcopy(template("sqs")) for _ in range(4)]
    for number, (record, outcome) in enumerate(zip(records, ["success", "error", "panic", "malformed"], strict=True)):
        record |= {"messageId": f"message-{number}", "body": "ada@school.example", "outcome": outcome}
    with Function(example("compat_batch"), {"AWS_LAMBDA_LOG_FORMAT": "JSON"}) as function:
        response = rust(function, {"Records": records}, "sqs")
        lines = function.stop()
    failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
    assert failed == ["message-1", "message-2", "message-3"]
    warnings = [json.loads(line)["fields"] for line in lines if '"WARN"' in line]
    assert [warning["item_identifier"] for warning in warnings] == failed
    assert [warning["error"] for warning in warnings[:2]] == ["told to fail", "told to panic"]
    assert "can't be read as" in warnings[2]["error"]
    assert "ada@" not in "".join(lines)


@pytest.mark.parametrize("event", [{}, {"Records": None}, {"Records": {}}])
def test_an_event_without_records_is_an_error_that_says_so(function: Function, event: Event) -> None:
    with pytest.raises(FunctionError, match="Records"):
        function.invoke({**event, "source": "sqs"})
