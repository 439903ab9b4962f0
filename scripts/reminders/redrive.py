"""Changes of appointments that could not be queued, and messages of which no e-mail could be made."""

import json

from failures import Message, Queue, Source
from stack import Stack
from stream_failures import Functions, Objects, dismissal, failed_batch


def sources(stack: Stack) -> list[Source]:
    sqs = stack.client("sqs")

    def remind(message: Message) -> None:
        body = message["Body"]
        # The rule's InputTransformer makes the same message of SES's event. The event is here if the rule could not
        # deliver it.
        if event := json.loads(body).get("detail"):
            body = json.dumps({"kind": "email_sent", "email_ids": event["mail"]["tags"]["email_id"]})
        sqs.send_message(QueueUrl=stack.outputs["RemindersQueueUrl"], MessageBody=body)

    return [
        Objects(
            "failed changes",
            stack,
            Functions(stack),
            "QueueRemindersFunctionName",
            "FailedChangesBucketName",
            "",
            failed_batch,
        ),
        Queue("notices of failed changes", stack, "FailedChangesQueueUrl", dismissal(stack, "FailedChangesBucketName")),
        Queue("failed reminders", stack, "FailedRemindersQueueUrl", remind),
    ]
