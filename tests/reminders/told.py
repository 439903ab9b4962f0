"""A student who books appointments, and the e-mails that tell about them."""

import base64
import random
from dataclasses import dataclass
from typing import Any

import queues
from booking import book, cancel, offer, withdraw
from icalendar import Calendar
from local_mailbox import mails_to
from stack import Stack, Student, wait_until
from tokens import claims_of

Mail = dict[str, Any]


@dataclass(frozen=True)
class Booker:
    stack: Stack
    staff: Student
    student: Student
    email: str
    advisor: str

    def offer(self, **slot: Any) -> str:
        """Offers a slot of the advisor; returns its start, which is in 2030 or later."""
        starts_at = f"20{random.randint(30, 99)}-{random.randint(1, 12):02}-06T{random.randint(0, 23):02}:00:00Z"
        self.offer_again(starts_at, **slot)
        return starts_at

    def offer_again(self, starts_at: str, **slot: Any) -> None:
        answer = offer(self.staff, self.advisor, starts_at, **slot)
        assert answer.status_code == 201, answer.text

    def book(self, starts_at: str, **booking: str) -> None:
        answer = book(self.student, self.advisor, starts_at, **booking)
        assert answer.status_code == 201, answer.text

    def cancel(self, starts_at: str) -> None:
        assert cancel(self.student, self.advisor, starts_at).status_code == 204

    def withdraw(self, starts_at: str) -> None:
        student_id = claims_of(self.student.token)["custom:student_id"]
        answer = withdraw(self.staff, self.advisor, starts_at, student_id=student_id)
        assert answer.status_code == 204, answer.text

    def mails(self) -> list[Mail]:
        """What the student was told, oldest first."""
        return mails_to(self.stack, self.email)

    def wait_for_mails(self, number: int) -> list[Mail]:
        """Waits for so many e-mails and until nothing more is to be sent; checks that there are no more."""
        wait_until(lambda: len(self.mails()) >= number, f"the student got {number} e-mails")
        wait_until_settled(self.stack)
        assert len(self.mails()) == number, [mail["Subject"] for mail in self.mails()]
        return self.mails()

    def scheduled(self) -> list[str]:
        """The names of all schedules of reminders."""
        scheduler, group = self.stack.client("scheduler"), self.stack.outputs["ReminderScheduleGroup"]
        pages = scheduler.get_paginator("list_schedules").paginate(GroupName=group)
        return [schedule["Name"] for page in pages for schedule in page["Schedules"]]

    def reminders(self) -> list[str]:
        """The names of the schedules for this advisor."""
        return [name for name in self.scheduled() if self.advisor in self.schedule(name)["Target"]["Input"]]

    def schedule(self, name: str) -> dict[str, Any]:
        group = self.stack.outputs["ReminderScheduleGroup"]
        return self.stack.client("scheduler").get_schedule(Name=name, GroupName=group)

    def wait_for_reminder(self) -> str:
        """Waits for the schedule of a booking; returns its name."""
        wait_until(lambda: self.reminders() != [], "a reminder is scheduled")
        [name] = self.reminders()
        return name

    def run_reminder_now(self, name: str) -> None:
        """Lets a schedule's time come, and waits until it has deleted itself."""
        schedule = self.schedule(name)
        kept = ("Name", "GroupName", "FlexibleTimeWindow", "ActionAfterCompletion", "Target")
        self.stack.client("scheduler").update_schedule(
            **{field: schedule[field] for field in kept}, ScheduleExpression="at(2026-01-01T00:00:00)"
        )
        wait_until(lambda: name not in self.scheduled(), "the schedule is over")


def calendar_of(mail: Mail) -> tuple[Calendar, str]:
    """The calendar file of an e-mail, read by another library than the one that wrote it, and its media type."""
    [attachment] = mail["Attachments"]
    assert attachment["FileName"] == "appointment.ics"
    return Calendar.from_ical(base64.b64decode(attachment["RawContent"])), attachment["ContentType"]


def wait_until_settled(stack: Stack, seconds: float = 120) -> None:
    """Waits until all students are told; checks that no message has failed."""
    wait_until(lambda: not queues.count(stack, "RemindersQueueUrl"), "all students are told", seconds)
    assert queues.count(stack, "FailedRemindersQueueUrl") == 0
