"""The deployed list of taken times, and in the local cloud, its cluster."""

import uuid
from typing import Any

import requests
from stack import Stack, Student, stack_name

DAY = "2030-05-06"


def slots(number: int) -> list[str]:
    """Times of the day, half an hour apart."""
    return [f"{DAY}T{8 + half // 2:02}:{half % 2 * 30:02}:00Z" for half in range(number)]


class Cache:
    """The list beside the stack under test."""

    def __init__(self, root: Stack) -> None:
        self.root = root
        self.stack = Stack(stack_name(root.name, "cache"))
        # The name in the local cloud's list of servers.
        self.cluster = f"dax/{self.stack.outputs['DaxClusterName']}"
        self._session = requests.Session()

    def read(self, student: Student | None, advisor: str, **parameters: Any) -> requests.Response:
        headers = {"Authorization": student.token} if student else {}
        url = f"{self.stack.api_url('cache')}/advisors/{advisor}/times"
        return self._session.get(url, params={"from": DAY} | parameters, headers=headers, timeout=30)

    def times(self, student: Student, advisor: str, **parameters: Any) -> list[str]:
        answer = self.read(student, advisor, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["times"]

    def put(self, advisor: str, *times: str) -> None:
        """Puts appointments into the table, as booking does."""
        dynamodb = self.root.client("dynamodb")
        for time in times:
            item = {"advisor_id": advisor, "starts_at": time, "student_id": str(uuid.uuid4()), "topic": "Thesis"}
            dynamodb.put_item(
                TableName=self.root.outputs["AppointmentsTableName"],
                Item={name: {"S": value} for name, value in item.items()},
            )
