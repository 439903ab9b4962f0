"""Events that EventBridge could not deliver."""

import json

from failures import Message, Queue, Source, StillFailing
from stack import Stack


def sources(stack: Stack) -> list[Source]:
    s3 = stack.client("s3")

    def dismiss(message: Message) -> None:
        # If a schedule could not start something, its next turn does. An event of S3 stays while its object is there.
        if detail := json.loads(message["Body"]).get("detail"):
            listed = s3.list_objects_v2(Bucket=detail["bucket"]["name"], Prefix=detail["object"]["key"], MaxKeys=1)
            if listed["KeyCount"]:
                raise StillFailing("the object of the event is still there")

    return [Queue("failed deliveries", stack, "FailedDeliveriesQueueUrl", dismiss)]
