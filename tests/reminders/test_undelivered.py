"""What can't be delivered is in a dead-letter queue, complete."""

import json
import uuid

import queues
from deployed import physical_ids
from faults import denied_to_role
from stack import Stack
from told import Booker, wait_until_settled


def test_an_event_that_the_queue_refuses_is_in_the_dead_letter_queue(stack: Stack, booker: Booker) -> None:
    with queues.closed_to_rule(stack, "RemindersQueueUrl", "reminders", "EmailSentRule"):
        booker.book(booker.offer())
        queues.wait_for(
            stack,
            "FailedRemindersQueueUrl",
            lambda event, attributes: event.get("detail", {}).get("mail", {}).get("destination") == [booker.email],
            "the event is in the dead-letter queue",
        )
    wait_until_settled(stack)


def test_a_reminder_that_the_queue_refuses_is_in_the_dead_letter_queue(stack: Stack, booker: Booker) -> None:
    booker.book(booker.offer())
    name = booker.wait_for_reminder()
    queue = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.outputs["RemindersQueueUrl"], AttributeNames=["QueueArn"]
    )
    role = physical_ids(stack, "reminders")["ReminderScheduleRole"]
    with denied_to_role(stack, role, "sqs:SendMessage", queue["Attributes"]["QueueArn"]):
        booker.run_reminder_now(name)
        queues.wait_for(
            stack,
            "FailedRemindersQueueUrl",
            lambda message, attributes: message.get("advisor_id") == booker.advisor,
            "the reminder is in the dead-letter queue",
        )
    wait_until_settled(stack)


def test_a_failed_batch_has_a_message(stack: Stack, local_cloud: None) -> None:
    key, bucket = f"aws/lambda/{uuid.uuid4()}", stack.outputs["FailedChangesBucketName"]
    stack.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps({}))
    queues.wait_for(
        stack,
        "FailedChangesQueueUrl",
        lambda event, attributes: event["detail"]["object"]["key"] == key,
        "there is a message about the batch",
    )
    stack.client("s3").delete_object(Bucket=bucket, Key=key)
