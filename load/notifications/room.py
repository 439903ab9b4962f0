"""What the load on accounts makes of notifications."""

import time
from collections import Counter

from books import Attempt, Line
from faults import denied
from local_mailbox import mails_to
from notifications.books import notifications
from outages import Outages, dying_at_writes, throttled_functions
from queues import count
from stack import Stack, wait_until

STUDENTS = 0
SECONDS_TO_SETTLE = 1800
SUBJECT = "Your account at school"

TITLES: dict[str, str] = {}
FUNCTIONS = ["send-notification"]
STORY = ""
SETTINGS = "A failed notification is received again after 15 seconds, and the record of an e-mail is in progress for five minutes."


def prepare(stack: Stack) -> None:
    queue = stack.outputs["NotificationsQueueUrl"]
    stack.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "15"})
    functions, name = stack.client("lambda"), f"{stack.name}-send-notification"
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | {"IN_PROGRESS_SECONDS": "300"}}
    )


def outages(stack: Stack, hit: list[str]) -> Outages:
    return {
        "SES refuses `send-notification`": lambda: denied(stack, "send-notification", "ses:SendEmail"),
        **throttled_functions(stack, FUNCTIONS),
        **dying_at_writes(stack, {"send-notification": ("DYNAMODB", "SESV2")}, hit),
    }


def settle(stack: Stack, students: list[dict[str, str]]) -> list[Attempt]:
    def all_are_told() -> bool:
        time.sleep(5)
        return not count(stack, "NotificationsQueueUrl") and not any(
            "email" in item and "notified_at" not in item for item in stack.items("AccountsTableName")
        )

    wait_until(all_are_told, "all students are told of their accounts", SECONDS_TO_SETTLE)
    return []


def balance(stack: Stack, journal: list[Attempt], students: list[dict[str, str]]) -> list[Line]:
    mails = Counter(address for mail in mails_to(stack) if mail["Subject"] == SUBJECT for address in mail["To"])
    return notifications(stack.items("AccountsTableName"), mails)
