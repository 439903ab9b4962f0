"""A failed request for an account is made again."""

import pytest
import queues
from account_requests import account, assert_one_account
from redrives import assert_nothing_left, redrive
from stack import Stack


def test_a_failed_request_becomes_an_account(stack: Stack, local_cloud: None) -> None:
    request = account()
    queues.send(stack, "FailedAccountRequestsQueueUrl", request)
    assert_nothing_left(stack)
    assert_one_account(stack, request["email"])


@pytest.mark.usefixtures("local_cloud")
def test_what_waits_is_shown_without_personal_data(stack: Stack) -> None:
    queues.send(stack, "FailedAccountRequestsQueueUrl", account(email="ada@private.example"))
    shown = redrive(stack)
    assert shown.returncode == 0, shown.stderr
    assert "failed account requests" in shown.stdout
    assert "private.example" not in shown.stdout
    assert queues.count(stack, "FailedAccountRequestsQueueUrl") == 1
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["FailedAccountRequestsQueueUrl"])
