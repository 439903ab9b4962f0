"""Sources of failures that can be sent again: scripts/<room>/redrive.py gives them to scripts/redrive.py."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from stack import Stack

# Low, because the functions have other work, too, and perhaps a reserved concurrency.
PARALLEL = 4
# The time for which a message stays hidden if this program is killed; otherwise it becomes visible at the end.
VISIBILITY_SECONDS = 300
# The maximum number of messages that SQS accepts or returns in a request.
BATCH = 10
# The errors that an unexpected object or message raises.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)

Message = dict[str, Any]


class StillFailing(Exception):
    """Something has to stay where it is. The message says why, without personal data."""


@dataclass
class Found:
    """What is in a source."""

    count: int = 0
    oldest: datetime | None = None
    # The reasons of messages, or of the records in objects.
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, since: datetime, reasons: Counter[str]) -> None:
        self.count += 1
        self.oldest = min(self.oldest or since, since)
        self.reasons += reasons


class Source(Protocol):
    """A place with failures that can be sent again."""

    name: str
    # The source that has to be empty first. A source that has one is sent with --quarantine only.
    waits_for: str | None

    def look(self) -> Found: ...

    def send(self, found: Found) -> Iterator[str | None]:
        """Sends what was found; yields, for each object or message, None or the reason why it stays."""


def error_type(payload: Any) -> str:
    """The type of a function's error; its message may quote personal data."""
    return (payload or {}).get("errorType") or "no error type"


def outcome(send: Callable[[Any], None], entry: Any) -> str | None:
    try:
        send(entry)
    except StillFailing as reason:
        return str(reason)
    except ClientError as error:
        return f"{error.operation_name}: {error.response['Error']['Code']}"
    except BotoCoreError as error:
        return type(error).__name__
    except UNREADABLE as error:
        return f"can't be read: {type(error).__name__}"
    return None


@dataclass
class Queue:
    """A queue of messages that could not be delivered or processed."""

    name: str
    stack: Stack
    # The stack's output with the queue's address.
    output: str
    # Handles the message; raises if the message has to stay.
    deliver: Callable[[Message], None]
    waits_for: str | None = None

    def __post_init__(self) -> None:
        self._sqs = self.stack.client("sqs")
        self._url = self.stack.outputs[self.output]

    def look(self) -> Found:
        found = Found()
        for page in self._pages(set(), sys.maxsize):
            for message in page:
                sent = int(message["Attributes"]["SentTimestamp"]) / 1000
                found.add(datetime.fromtimestamp(sent, timezone.utc), Counter([reason_of(message)]))
        return found

    def send(self, found: Found) -> Iterator[str | None]:
        deleted: set[str] = set()

        def settle(message: Message) -> None:
            self.deliver(message)
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            deleted.add(message["MessageId"])

        with ThreadPoolExecutor(PARALLEL) as pool:
            for page in self._pages(deleted, found.count):
                yield from pool.map(lambda message: outcome(settle, message), page)

    def _pages(self, deleted: set[str], count: int) -> Iterator[list[Message]]:
        """Up to this number of messages, each once. At the end, those not deleted become visible again."""
        handles: dict[str, str] = {}
        try:
            while len(handles) < count:
                received = self._sqs.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=BATCH,
                    WaitTimeSeconds=1,
                    VisibilityTimeout=VISIBILITY_SECONDS,
                    MessageSystemAttributeNames=["SentTimestamp"],
                    MessageAttributeNames=["ERROR_CODE"],
                ).get("Messages", [])
                page = [message for message in received if message["MessageId"] not in handles]
                if not page:
                    return
                handles.update({message["MessageId"]: message["ReceiptHandle"] for message in page})
                yield page
        finally:
            left = [handle for identifier, handle in handles.items() if identifier not in deleted]
            for start in range(0, len(left), BATCH):
                entries = [
                    {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                    for index, handle in enumerate(left[start : start + BATCH])
                ]
                self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def reason_of(message: Message) -> str:
    """The reason that EventBridge or Lambda gives; messages from a queue have none."""
    if code := message.get("MessageAttributes", {}).get("ERROR_CODE"):
        return f"not delivered: {code['StringValue']}"
    try:
        body = json.loads(message["Body"])
        return f"{body['requestContext']['condition']}: {error_type(body['responsePayload'])}"
    except UNREADABLE:
        return "no reason given"
