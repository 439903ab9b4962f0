"""A student who could not be told is told; one who was told is not told again."""

import json

import queues
from faults import denied
from redrives import assert_nothing_left
from stack import Stack, wait_until
from told import Booker


def test_a_batch_that_could_not_be_queued_is_queued_later(stack: Stack, booker: Booker) -> None:
    functions, function = stack.client("lambda"), stack.outputs["QueueRemindersFunctionName"]
    [mapping] = functions.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]

    def retry(attempts: int) -> None:
        functions.update_event_source_mapping(UUID=mapping["UUID"], MaximumRetryAttempts=attempts)

    retry(0)
    try:
        with denied(stack, "queue-reminders", "sqs:SendMessage"):
            booker.book(booker.offer())
            wait_until(lambda: stack.objects("", "FailedChangesBucketName") != {}, "the batch has failed")
    finally:
        retry(mapping["MaximumRetryAttempts"])
    assert booker.mails() == []
    wait_until(lambda: queues.count(stack, "FailedChangesQueueUrl") > 0, "there is a message about the batch")
    assert_nothing_left(stack)
    booker.wait_for_mails(1)
    assert queues.count(stack, "FailedChangesQueueUrl") == 0


def test_failed_reminders_are_sent_once(stack: Stack, booker: Booker) -> None:
    starts_at = booker.offer()
    booker.book(starts_at)
    booker.wait_for_mails(1)
    reminder = json.loads(booker.schedule(booker.wait_for_reminder())["Target"]["Input"])
    for _ in range(2):
        queues.send(stack, "FailedRemindersQueueUrl", reminder, "NO_PERMISSIONS")
    email_sent = {"detail-type": "Email Sent", "detail": {"mail": {"tags": {"email_id": ["0" * 64]}}}}
    queues.send(stack, "FailedRemindersQueueUrl", email_sent, "NO_PERMISSIONS")
    assert_nothing_left(stack)
    assert booker.wait_for_mails(2)[-1]["Subject"].startswith("Reminder: ")
