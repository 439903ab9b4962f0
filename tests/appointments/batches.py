"""Batches of the appointments' stream, and those that could not be archived."""

import json
import time
import uuid
from typing import Any

from archived import appointments
from stack import Stack

Record = dict[str, Any]


def records(advisor: str, count: int) -> list[Record]:
    """Records of a stream, of bookings with one advisor."""
    now = time.time_ns()
    images = [{name: {"S": value} for name, value in item.items()} for item in appointments(advisor, count)]
    return [
        {
            "eventID": uuid.uuid4().hex,
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "ApproximateCreationDateTime": now // 1_000_000_000,
                "Keys": {name: image[name] for name in ("advisor_id", "starts_at")},
                "NewImage": image,
                "SequenceNumber": str(now * 1000 + index),
            },
        }
        for index, image in enumerate(images)
    ]


def poisoned(record: Record) -> Record:
    """The record of an item that is not an appointment."""
    image = {name: value for name, value in record["dynamodb"]["NewImage"].items() if name != "student_id"}
    return record | {"dynamodb": record["dynamodb"] | {"NewImage": image}}


def put(stack: Stack, bucket: str, key: str, content: Any) -> str:
    stack.client("s3").put_object(Bucket=stack.outputs[bucket], Key=key, Body=json.dumps(content))
    return key


def archive(stack: Stack, batch: list[Record]) -> None:
    """Archives a batch, as the stream does."""
    function, payload = stack.outputs["ArchiveAppointmentsFunctionName"], json.dumps({"Records": batch})
    stack.client("lambda").invoke(FunctionName=function, Payload=payload)


def give_up(stack: Stack, batch: list[Record]) -> str:
    """Stores a failed batch, as Lambda does."""
    invocation = {
        "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 3},
        "DDBStreamBatchInfo": {"batchSize": len(batch)},
        "payload": json.dumps({"Records": batch}),
    }
    key = f"aws/lambda/mapping/shard/2026/11/21/2026-11-21T09.00.00-{uuid.uuid4()}"
    return put(stack, "FailedBatchesBucketName", key, invocation)


def quarantine(stack: Stack, run: list[Record], reason: str = "not an appointment: no field `student_id`") -> str:
    """Stores records in quarantine, as archive-appointments does."""
    name = f"{run[0]['dynamodb']['SequenceNumber']}-{run[0]['eventID']}"
    entries = [{"reason": reason, "record": record} for record in run]
    return put(stack, "ArchiveBucketName", f"quarantine/appointments/{name}.json", entries)
