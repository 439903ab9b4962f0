"""A student who could not be told about an account is told; one who was told is not told again."""

import queues
from account_requests import account, sign_up, students
from emails import assert_one_account_and_one_email
from faults import rule_disabled
from redrives import assert_nothing_left
from stack import Stack


def test_failed_notifications_are_sent_once(stack: Stack, local_cloud: None) -> None:
    told, untold = account(), account()
    assert sign_up(stack, told).status_code == 201
    with rule_disabled(stack, "notifications", "AccountsRule", stack.outputs["SchoolEventsName"]):
        assert sign_up(stack, untold).status_code == 201
    assert_one_account_and_one_email(stack, told["email"])
    [untold_id, told_id] = [students(stack, one["email"])[0]["student_id"]["S"] for one in (untold, told)]

    account_created = {"detail-type": "AccountCreated", "detail": {"student_id": untold_id}}
    queues.send(stack, "FailedNotificationsQueueUrl", account_created, "NO_PERMISSIONS")
    email_sent = {"detail-type": "Email Sent", "detail": {"mail": {"tags": {"student_id": [told_id]}}}}
    queues.send(stack, "FailedNotificationsQueueUrl", email_sent, "NO_PERMISSIONS")
    assert_nothing_left(stack)

    for one in (untold, told):
        assert_one_account_and_one_email(stack, one["email"])
