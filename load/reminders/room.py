"""What the load on appointments makes of reminders."""

import base64
import time
from collections.abc import Iterator

from books import Attempt, Line
from faults import denied
from icalendar import Calendar
from local_mailbox import mails_to
from outages import Outages, dying_at_writes, throttled_functions
from queues import count
from reminders.books import Told, reminders
from stack import Stack, wait_until

STUDENTS = 0
SECONDS_TO_SETTLE = 1800

TITLES: dict[str, str] = {}
FUNCTIONS = ["queue-reminders", "send-reminder"]
STORY = ""
SETTINGS = "A failed message about an appointment is received again after 15 seconds, and the record of its e-mail is in progress for five minutes."


def prepare(stack: Stack) -> None:
    queue = stack.outputs["RemindersQueueUrl"]
    stack.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "15"})
    functions, name = stack.client("lambda"), f"{stack.name}-send-reminder"
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | {"IN_PROGRESS_SECONDS": "300"}}
    )


def outages(stack: Stack, hit: list[str]) -> Outages:
    return {
        "SES refuses `send-reminder`": lambda: denied(stack, "send-reminder", "ses:SendEmail"),
        "SQS refuses `queue-reminders`": lambda: denied(stack, "queue-reminders", "sqs:SendMessage"),
        "EventBridge Scheduler refuses `queue-reminders`": lambda: denied(
            stack, "queue-reminders", "scheduler:CreateSchedule"
        ),
        **throttled_functions(stack, FUNCTIONS),
        **dying_at_writes(stack, {"send-reminder": ("DYNAMODB", "SESV2")}, hit),
    }


def told(stack: Stack) -> Iterator[Told]:
    for mail in mails_to(stack):
        for attachment in mail["Attachments"]:
            calendar = Calendar.from_ical(base64.b64decode(attachment["RawContent"]))
            [event] = calendar.walk("VEVENT")
            slot, _, _ = str(event["UID"]).rpartition("~")
            yield slot, int(event["SEQUENCE"]), str(calendar["METHOD"])


def settle(stack: Stack, students: list[dict[str, str]]) -> list[Attempt]:
    def all_are_told() -> bool:
        time.sleep(5)
        return not count(stack, "RemindersQueueUrl") and not any(line.problems for line in balance(stack, [], students))

    wait_until(all_are_told, "all students are told of their appointments", SECONDS_TO_SETTLE)
    return []


def balance(stack: Stack, journal: list[Attempt], students: list[dict[str, str]]) -> list[Line]:
    slots = [slot for slot in stack.items("SlotsTableName") if slot["advisor_id"]["S"] != "canary"]
    return reminders(slots, told(stack))
