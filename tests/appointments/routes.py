"""The facts that the tests of all APIs need about the routes of appointments: see tests/openapi.py."""

import uuid
from typing import Any

from booking import SLOT, book, offer
from openapi import Route
from stack import Stack, Student
from tokens import claims_of

PUBLIC: set[str] = set()
GOOD = {
    "advisor_id": "ada",
    "starts_at": "2030-05-06T09:00:00Z",
    "student_id": "student",
    "topic": "Thesis",
    "from": "2030-05-06T09:00:00Z",
    "after": "2030-05-06T09:00:00Z~ada",
    "limit": "25",
    **SLOT,
}
VALUES = [
    "2030-05-06T09%3A00%3A00Z",
    "2030-05-06T09:00:00Z",
    "2030-13-06T09:00:00Z",
    "2030-05-06T09:00:00Z~ada",
    "2030-05-06T09:00:00Z~a~d\na~",
    "2030-05-06T09:00:00Z~",
    "~",
    "~~",
    "~ada",
    "ada~",
    "ada~2030-05-06T09:00:00Z",
    "0",
    "1",
    "25",
    "100",
    "101",
    "-1",
    "1e2",
    "25\n",
    "٣",
]
ATTRIBUTES = ["advisor_id", "starts_at", "topic", "student_id", "student_email", *SLOT]
OPTIONAL = {"topic", "student_email", *SLOT}
NUMBERS = {"duration_minutes"}
PARAMETERS = {"MonthlyBookingLimit": 2, "BookingNoticeMinutes": 30, "CancellationNoticeMinutes": 60}
FOR_OTHERS = {"PUT /appointments/{advisor_id}/{starts_at}": 409, "GET /advisors/{advisor_id}/slots": 200}


class Private:
    """An appointment of a student."""

    text = "between me and my advisor"

    def __init__(self, stack: Stack, student: Student) -> None:
        self._stack, self._dynamodb = stack, stack.client("dynamodb")
        self._advisor = f"advisor-{uuid.uuid4()}"
        self._key = {"advisor_id": {"S": self._advisor}, "starts_at": {"S": GOOD["starts_at"]}}
        student_id = claims_of(student.token)["custom:student_id"]
        self._month = {"student_id": {"S": student_id}, "month": {"S": GOOD["starts_at"][:7]}}
        staff = stack.create_staff("dean@school.example")
        offer(staff, self._advisor, GOOD["starts_at"]).raise_for_status()
        booked = book(student, self._advisor, GOOD["starts_at"], topic=self.text)
        assert booked.status_code == 201, booked.text

    def path(self, route: Route) -> str:
        return route.path(advisor_id=self._advisor)

    def body(self, route: Route) -> dict[str, Any] | None:
        """A body without any error: another topic, or a slot at another time."""
        changes = {"topic": "mine", "starts_at": "2030-05-06T10:00:00Z"}
        return route.body(**{name: value for name, value in changes.items() if name in route.fields})

    def read(self) -> list[dict[str, Any]]:
        tables = [self._stack.outputs[name] for name in ("AppointmentsTableName", "SlotsTableName")]
        answers = [self._dynamodb.get_item(TableName=name, Key=self._key, ConsistentRead=True) for name in tables]
        return [answer["Item"] for answer in answers]

    def delete(self) -> None:
        """Deletes what the three tables have of it."""
        tables = {
            "AppointmentsTableName": self._key,
            "SlotsTableName": self._key,
            "StudentMonthsTableName": self._month,
        }
        for table, key in tables.items():
            self._dynamodb.delete_item(TableName=self._stack.outputs[table], Key=key)
