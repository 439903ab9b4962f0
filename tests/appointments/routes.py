"""The facts that the tests of all APIs need about the routes of appointments: see tests/openapi.py."""

import uuid
from typing import Any

from booking import book
from openapi import Route
from stack import Stack, Student

PUBLIC: set[str] = set()
GOOD = {
    "advisor_id": "ada",
    "starts_at": "2030-05-06T09:00:00Z",
    "topic": "Thesis",
    "after": "2030-05-06T09:00:00Z~ada",
    "limit": "25",
}
VALUES = [
    "2030-05-06T09%3A00%3A00Z",
    "2030-05-06T09:00:00Z",
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
ATTRIBUTES = ["advisor_id", "starts_at", "topic", "student_id"]
OPTIONAL = {"topic"}


class Private:
    """An appointment of a student."""

    text = "between me and my advisor"

    def __init__(self, stack: Stack, student: Student) -> None:
        self._table, self._dynamodb = stack.outputs["AppointmentsTableName"], stack.client("dynamodb")
        self._advisor = f"advisor-{uuid.uuid4()}"
        self._key = {"advisor_id": {"S": self._advisor}, "starts_at": {"S": GOOD["starts_at"]}}
        booked = book(student, advisor_id=self._advisor, starts_at=GOOD["starts_at"], topic=self.text)
        assert booked.status_code == 201, booked.text

    def path(self, route: Route) -> str:
        return route.path(advisor_id=self._advisor)

    def body(self, route: Route) -> dict[str, Any] | None:
        """A body without any error: a free slot with the same advisor."""
        return route.body(advisor_id=self._advisor, starts_at="2030-05-06T10:00:00Z", topic="mine")

    def read(self) -> dict[str, Any]:
        return self._dynamodb.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)["Item"]

    def delete(self) -> None:
        self._dynamodb.delete_item(TableName=self._table, Key=self._key)
