"""The e-mails that tell students about their accounts."""

from collections import Counter

import account_requests
import queues
from account_requests import students
from local_mailbox import mails_to
from stack import Stack, wait_until


def notified(stack: Stack) -> Counter[str]:
    """The number of e-mails about an account, by address."""
    return Counter(
        address for mail in mails_to(stack) if mail["Subject"] == "Your account at school" for address in mail["To"]
    )


def wait_until_settled(stack: Stack, seconds: float = 120) -> None:
    """Waits until all requests for accounts are answered and all students are told; checks that none has failed."""
    account_requests.wait_until_settled(stack, seconds)
    wait_until(lambda: not queues.count(stack, "NotificationsQueueUrl"), "all students are told", seconds)
    assert queues.count(stack, "FailedNotificationsQueueUrl") == 0


def assert_one_account_and_one_email(stack: Stack, email: str) -> None:
    """Waits until the student of an address is told about the account; checks that there is one of each."""
    wait_until(lambda: notified(stack)[email] > 0, "the student is notified")
    wait_until(lambda: all("notified_at" in student for student in students(stack, email)), "that is noted")
    account_requests.assert_one_account(stack, email)
    wait_until_settled(stack)
    assert notified(stack)[email] == 1
