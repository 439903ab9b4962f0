"""Failures of an archive: failed batches, and quarantined records. scripts/<room>/redrive.py names them."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.config import Config
from failures import PARALLEL, UNREADABLE, Found, Message, StillFailing, error_type, outcome
from stack import Stack

# Longer than the longest function's time-out: a request that is repeated earlier could run beside its first attempt.
READ_TIMEOUT_SECONDS = 90


class Functions:
    """Invokes the functions of a stack synchronously."""

    def __init__(self, stack: Stack) -> None:
        retries = {"mode": "adaptive", "total_max_attempts": 10}
        self._client = stack.client("lambda", Config(read_timeout=READ_TIMEOUT_SECONDS, retries=retries))

    def invoke(self, name: str, event: str) -> Any:
        answer = self._client.invoke(FunctionName=name, Payload=event.encode())
        payload = json.loads(answer["Payload"].read() or "null")
        if "FunctionError" in answer:
            raise StillFailing(f"{name} fails: {error_type(payload)}")
        return payload


@dataclass
class Objects:
    """Objects, each of which holds records of a stream for the function that archives them.

    The records of an object stay together: the same run gets the same name, so it overwrites what an earlier attempt
        wrote, and doubles nothing.
    """

    name: str
    stack: Stack
    functions: Functions
    # The stack's outputs with the function's name and with the bucket's name.
    function_output: str
    output: str
    prefix: str
    # The event in an object, and the reason why its records are there.
    read: Callable[[Any], tuple[str, Counter[str]]]
    waits_for: str | None = None

    def __post_init__(self) -> None:
        self._s3 = self.stack.client("s3")
        self._bucket = self.stack.outputs[self.output]

    def look(self) -> Found:
        found = Found()

        def look_at(content: dict[str, Any]) -> tuple[datetime, Counter[str]] | None:
            try:
                body = self._s3.get_object(Bucket=self._bucket, Key=content["Key"])["Body"].read()
            except self._s3.exceptions.NoSuchKey:
                return None
            try:
                reasons = self.read(json.loads(body))[1]
            except UNREADABLE:
                reasons = Counter(["can't be read"])
            return content["LastModified"], reasons

        with ThreadPoolExecutor(PARALLEL) as pool:
            for seen in pool.map(look_at, self._list()):
                if seen:
                    found.add(*seen)
        return found

    def send(self, found: Found) -> Iterator[str | None]:
        # The objects are listed before the first one is sent: records that still can't be archived are written again.
        keys = [content["Key"] for content in self._list()]
        with ThreadPoolExecutor(PARALLEL) as pool:
            yield from pool.map(lambda key: outcome(self._send_object, key), keys)

    def _list(self) -> Iterator[dict[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self.prefix)
        return (content for page in pages for content in page.get("Contents", []))

    def _send_object(self, key: str) -> None:
        try:
            stored = self._s3.get_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return
        event, _ = self.read(json.loads(stored["Body"].read()))
        function = self.stack.outputs[self.function_output]
        if self.functions.invoke(function, event)["batchItemFailures"]:
            raise StillFailing(f"records could not be written; the log of {function} says why")
        # Deletes this version only: if the function has just written the key again, its version stays.
        self._s3.delete_object(Bucket=self._bucket, Key=key, VersionId=stored["VersionId"])


def failed_batch(invocation: dict[str, Any]) -> tuple[str, Counter[str]]:
    """Reads an object that Lambda wrote to the on-failure destination."""
    return invocation["payload"], Counter(
        {invocation["requestContext"]["condition"]: invocation["DDBStreamBatchInfo"]["batchSize"]}
    )


def quarantined_run(entries: list[dict[str, Any]]) -> tuple[str, Counter[str]]:
    """Reads an object of quarantine."""
    event = {"Records": [entry["record"] for entry in entries]}
    # Cuts each reason at a colon, and removes numbers: they can quote a record.
    kinds = [re.sub(r"-?\d\S*", "…", entry["reason"].partition(":")[0]) for entry in entries]
    # Compact and not escaped, as it was received: a batch can be as large as an event may be.
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")), Counter(kinds)


def dismissal(stack: Stack, output: str) -> Callable[[Message], None]:
    """Dismisses the message about a failed batch once the batch is no longer in the bucket of this output."""
    s3 = stack.client("s3")

    def dismiss(message: Message) -> None:
        key = json.loads(message["Body"])["detail"]["object"]["key"]
        if s3.list_objects_v2(Bucket=stack.outputs[output], Prefix=key, MaxKeys=1)["KeyCount"]:
            raise StillFailing("its batch is still there")

    return dismiss


def event_of(message: Message) -> str:
    """The event in a message of a queue for failed events.

    A message of Lambda's destination has the event in it; a message of the rule's dead-letter queue is the event.
    """
    body = json.loads(message["Body"])
    return json.dumps(body.get("requestPayload", body))
