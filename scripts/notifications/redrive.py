"""Notifications that failed."""

import json

from failures import Message, Queue, Source
from stack import Stack


def sources(stack: Stack) -> list[Source]:
    sqs = stack.client("sqs")

    def notify(message: Message) -> None:
        event = json.loads(message["Body"])
        # The rule's InputTransformer makes the same message of SES's event. The event is here if the rule could not
        # deliver it.
        if mail := event["detail"].get("mail"):
            event = {"detail-type": event["detail-type"], "detail": {"student_ids": mail["tags"]["student_id"]}}
        sqs.send_message(QueueUrl=stack.outputs["NotificationsQueueUrl"], MessageBody=json.dumps(event))

    return [Queue("failed notifications", stack, "FailedNotificationsQueueUrl", notify)]
