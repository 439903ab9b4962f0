"""If the queue of notifications refuses an event, the event is in the dead-letter queue, complete."""

from collections.abc import Callable
from typing import Any

import pytest
import queues
from account_requests import account, sign_up
from emails import wait_until_settled
from stack import Stack


@pytest.mark.parametrize(
    ("rule", "is_about"),
    [
        ("AccountsRule", lambda event, email: event["detail-type"] == "AccountCreated"),
        ("EmailSentRule", lambda event, email: event["detail"]["mail"]["destination"] == [email]),
    ],
    ids=["accounts", "email-sent"],
)
def test_an_event_that_the_queue_refuses_is_in_the_dead_letter_queue(
    stack: Stack, local_cloud: None, rule: str, is_about: Callable[[dict[str, Any], str], bool]
) -> None:
    request = account()
    with queues.closed_to_rule(stack, "NotificationsQueueUrl", "notifications", rule):
        assert sign_up(stack, request).status_code == 201
        queues.wait_for(
            stack,
            "FailedNotificationsQueueUrl",
            lambda event, attributes: is_about(event, request["email"]),
            "the event is in the dead-letter queue",
        )
    wait_until_settled(stack)
