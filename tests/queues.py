"""The queues of a deployed stack, named by the stack's outputs with their addresses."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deployed import rule_name
from stack import Stack, wait_until


def count(stack: Stack, queue: str) -> int:
    """Number of messages that wait in a queue or are being processed."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=names)
    return sum(int(number) for number in attributes["Attributes"].values())


def send(stack: Stack, queue: str, body: Any, error_code: str | None = None) -> None:
    """Sends a message to a queue. With an error code, the message looks like an event that a rule could not deliver."""
    attributes = {"ERROR_CODE": {"DataType": "String", "StringValue": error_code}} if error_code else {}
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs[queue], MessageBody=json.dumps(body), MessageAttributes=attributes
    )


def take(stack: Stack, queue: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Receives and deletes messages of a queue; returns the body and the attributes of each."""
    sqs, url = stack.client("sqs"), stack.outputs[queue]
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
    ).get("Messages", [])
    for message in received:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [
        (
            json.loads(message["Body"]),
            {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()},
        )
        for message in received
    ]


def wait_for(
    stack: Stack, queue: str, is_wanted: Callable[[dict[str, Any], dict[str, str]], bool], what: str
) -> dict[str, Any]:
    """The body of the first message that is wanted, by its body and attributes. Takes out others until it has come."""
    found: list[dict[str, Any]] = []

    def has_come() -> bool:
        found.extend(body for body, attributes in take(stack, queue) if is_wanted(body, attributes))
        return bool(found)

    wait_until(has_come, what)
    return found[0]


@contextmanager
def closed_to_rule(stack: Stack, queue: str, room: str, rule: str) -> Iterator[None]:
    """A queue refuses the events of a room's rule in this context."""
    sqs, url = stack.client("sqs"), stack.outputs[queue]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    statements = json.loads(policy)["Statement"]
    refusal = {
        "Effect": "Deny",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": statements[0]["Resource"],
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:events:*:*:rule/*{rule_name(stack, room, rule)}"}},
    }
    with_refusal = json.loads(policy) | {"Statement": [*statements, refusal]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(with_refusal)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


@contextmanager
def visible_again_after(stack: Stack, seconds: dict[str, int]) -> Iterator[None]:
    """A failed message is received again after this number of seconds, in this context."""
    sqs = stack.client("sqs")
    names = ["VisibilityTimeout"]
    before = {
        queue: sqs.get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=names)["Attributes"]
        for queue in seconds
    }
    for queue, timeout in seconds.items():
        attributes = {"VisibilityTimeout": str(timeout)}
        sqs.set_queue_attributes(QueueUrl=stack.outputs[queue], Attributes=attributes)
    try:
        yield
    finally:
        for queue, attributes in before.items():
            sqs.set_queue_attributes(QueueUrl=stack.outputs[queue], Attributes=attributes)
