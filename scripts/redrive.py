"""Sends what was given up back through the functions: batches, quarantined records, messages of dead-letter queues.

Without --apply it shows what there is and changes nothing. A message or an object is deleted only after what it holds
has been done, so this may be killed and run again. Ends with 1 if something is left.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from stack import Stack, of_environment

# The functions have other work, too, and perhaps a reserved concurrency.
PARALLEL = 4
# Longer than the longest function: a request that is repeated meanwhile would run beside its first attempt.
READ_TIMEOUT_SECONDS = 90
# How long a message stays hidden when this is killed; otherwise it is shown again at the end.
VISIBILITY_SECONDS = 300

# The most that SQS gives or takes at once.
BATCH = 10

Message = dict[str, Any]


# What is raised by an object or a message that is not what it should be.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
BATCHES, QUARANTINE = "batches given up", "quarantined records"


class StillFailing(Exception):
    """Says, without personal data, why something stays where it is."""


@dataclass
class Found:
    """What lies in a source."""

    count: int = 0
    oldest: datetime | None = None
    # Of messages, or of the records in objects.
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, since: datetime, reasons: Counter[str]) -> None:
        self.count += 1
        self.oldest = min(self.oldest or since, since)
        self.reasons += reasons


class Source(Protocol):
    """A place where something waits to be sent again."""

    name: str

    def look(self) -> Found: ...

    def send(self, found: Found) -> Iterator[str | None]:
        """Sends what was found, and yields for each object or message None or why it stays."""


class Functions:
    """The functions of a stack, invoked as a caller who waits."""

    def __init__(self, stack: Stack) -> None:
        retries = {"mode": "adaptive", "total_max_attempts": 10}
        self._client = stack.client("lambda", Config(read_timeout=READ_TIMEOUT_SECONDS, retries=retries))

    def invoke(self, name: str, event: str) -> Any:
        answer = self._client.invoke(FunctionName=name, Payload=event.encode())
        payload = json.loads(answer["Payload"].read() or "null")
        if "FunctionError" in answer:
            raise StillFailing(f"{name} fails: {error_type(payload)}")
        return payload


def error_type(payload: Any) -> str:
    """The kind of a function's error; its message may quote anything."""
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
class Objects:
    """Objects, each of which holds records of the stream for archive-appointments.

    The records of an object stay together: what an earlier attempt wrote of them is overwritten, not doubled, because
    the same run gets the same name.
    """

    name: str
    stack: Stack
    functions: Functions
    # The stack's output that has the bucket's name.
    output: str
    prefix: str
    # The event that an object holds, and why its records lie there.
    read: Callable[[Any], tuple[str, Counter[str]]]

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
        # Listed before the first is sent: quarantined records that are still poison are written anew.
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
        answer = self.functions.invoke(self.stack.outputs["ArchiveAppointmentsFunctionName"], event)
        if answer["batchItemFailures"]:
            raise StillFailing("records could not be written; the log of archive-appointments says why")
        # This version: if the function has just written the key again, what it wrote stays.
        self._s3.delete_object(Bucket=self._bucket, Key=key, VersionId=stored["VersionId"])


def given_up_batch(invocation: dict[str, Any]) -> tuple[str, Counter[str]]:
    """Of what Lambda writes to an on-failure destination."""
    return invocation["payload"], Counter(
        {invocation["requestContext"]["condition"]: invocation["DDBStreamBatchInfo"]["batchSize"]}
    )


def quarantined_run(entries: list[dict[str, Any]]) -> tuple[str, Counter[str]]:
    """Of what archive-appointments writes to quarantine."""
    event = {"Records": [entry["record"] for entry in entries]}
    # The kinds only: what follows a colon, and numbers, can quote a record.
    kinds = [re.sub(r"-?\d\S*", "…", entry["reason"].partition(":")[0]) for entry in entries]
    # Compact and not escaped, as it came: a batch can be as large as an event may be.
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")), Counter(kinds)


@dataclass
class Queue:
    """A queue of messages that could not be delivered or dealt with, and wait to be sent there again."""

    name: str
    stack: Stack
    # The stack's output that has its address.
    output: str
    # Does what the message asks for; raises when it has to stay.
    deliver: Callable[[Message], None]

    def __post_init__(self) -> None:
        self._sqs = self.stack.client("sqs")
        self._url = self.stack.outputs[self.output]

    def look(self) -> Found:
        found = Found()
        for page in self._pages(set(), sys.maxsize):
            for message in page:
                sent = int(message["Attributes"]["SentTimestamp"]) / 1000
                found.add(datetime.fromtimestamp(sent, timezone.utc), Counter([given_up_because(message)]))
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
        """So many messages, if there are, and each once. At the end, those not deleted can be received again."""
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


def given_up_because(message: Message) -> str:
    """What EventBridge or Lambda say; a queue says no more than that it was tried often enough."""
    if code := message.get("MessageAttributes", {}).get("ERROR_CODE"):
        return f"not delivered: {code['StringValue']}"
    try:
        body = json.loads(message["Body"])
        return f"{body['requestContext']['condition']}: {error_type(body['responsePayload'])}"
    except UNREADABLE:
        return "no reason given"


def sources(stack: Stack) -> list[Source]:
    """All that can wait, in the order in which it is sent."""
    functions = Functions(stack)
    s3, sqs, states = stack.client("s3"), stack.client("sqs"), stack.client("stepfunctions")

    def dismiss(message: Message) -> None:
        # What a schedule could not start, its next turn does.
        if detail := json.loads(message["Body"]).get("detail"):
            key = detail["object"]["key"]
            listed = s3.list_objects_v2(Bucket=stack.outputs["FailedBatchesBucketName"], Prefix=key, MaxKeys=1)
            if listed["KeyCount"]:
                raise StillFailing("its batch is still there")

    def audit(message: Message) -> None:
        body = json.loads(message["Body"])
        # Of Lambda's destination, or the event itself, from the dead-letter queue of the rule.
        event = body.get("requestPayload", body)
        functions.invoke(stack.outputs["AuditArchiveFunctionName"], json.dumps(event))

    def request_account(message: Message) -> None:
        sqs.send_message(QueueUrl=stack.outputs["AccountRequestsQueueUrl"], MessageBody=message["Body"])

    def notify(message: Message) -> None:
        event = json.loads(message["Body"])
        # As SES made it, when the rule could not deliver it: this is what the rule's InputTransformer makes of it.
        if mail := event["detail"].get("mail"):
            event = {"detail-type": event["detail-type"], "detail": {"student_ids": mail["tags"]["student_id"]}}
        sqs.send_message(QueueUrl=stack.outputs["NotificationsQueueUrl"], MessageBody=json.dumps(event))

    def start_import(message: Message) -> None:
        states.start_execution(stateMachineArn=stack.outputs["ImportAccountsArn"], input=message["Body"])

    return [
        Objects(BATCHES, stack, functions, "FailedBatchesBucketName", "", given_up_batch),
        Objects(QUARANTINE, stack, functions, "ArchiveBucketName", "quarantine/appointments/", quarantined_run),
        Queue("notices of batches", stack, "FailedBatchesQueueUrl", dismiss),
        Queue("failed deliveries", stack, "FailedDeliveriesQueueUrl", dismiss),
        Queue("failed audits", stack, "FailedAuditsQueueUrl", audit),
        Queue("failed account requests", stack, "FailedAccountRequestsQueueUrl", request_account),
        Queue("failed notifications", stack, "FailedNotificationsQueueUrl", notify),
        Queue("failed imports", stack, "FailedImportsQueueUrl", start_import),
    ]


def look(everything: list[Source]) -> dict[str, Found]:
    with ThreadPoolExecutor(len(everything)) as pool:
        return dict(pool.map(lambda source: (source.name, source.look()), everything))


def lines(counts: Counter[str]) -> str:
    """How many messages, or records of objects, each of these is true of."""
    return "\n".join(f"{count} {what}" for what, count in counts.most_common())


def table_of(title: str, found: dict[str, Found]) -> Table:
    table = Table("", "waiting", "oldest", "why", title=title, title_justify="left", box=SIMPLE)
    for name, what in found.items():
        oldest = f"{what.oldest:%Y-%m-%d %H:%M}" if what.oldest else ""
        table.add_row(name, str(what.count), oldest, lines(what.reasons))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="local, dev or prod")
    parser.add_argument("--apply", action="store_true", help="send it; otherwise it is only shown")
    parser.add_argument("--quarantine", action="store_true", help="quarantined records, too, after a fix")
    arguments = parser.parse_args()
    everything = sources(of_environment(arguments.environment))
    console = Console()

    found = look(everything)
    console.print(table_of("Given up", found))
    chosen = [source for source in everything if source.name != QUARANTINE or arguments.quarantine]
    waiting = [source for source in chosen if found[source.name].count]
    if not waiting:
        console.print("Nothing to send.")
        return 0
    if not arguments.apply:
        console.print("Nothing has been changed. APPLY=1 sends it; with QUARANTINE=1, also what is in quarantine.")
        return 0
    if arguments.quarantine and found[BATCHES].count:
        console.print(
            "Nothing has been changed: send the batches first, without QUARANTINE=1; docs/appointments/redrive.md says why."
        )
        return 1

    sent = Table("", "sent", "done", "failed", title="Sent", title_justify="left", box=SIMPLE)
    for source in waiting:
        before = found[source.name]
        outcomes = list(track(source.send(before), source.name, before.count, console=console))
        failures = Counter(failure for failure in outcomes if failure)
        sent.add_row(source.name, str(len(outcomes)), str(len(outcomes) - failures.total()), lines(failures))
    console.print(sent)
    left = look(waiting)
    console.print(table_of("Left", left))
    return 1 if any(what.count for what in left.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
