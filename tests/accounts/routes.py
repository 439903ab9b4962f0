"""The facts that the tests of all APIs need about the routes of accounts: see tests/openapi.py."""

from typing import Any

from deployed import physical_ids
from openapi import Route
from stack import Stack, Student, wait_until
from tokens import claims_of

PUBLIC = {"POST /accounts", "POST /account-requests"}
GOOD = {
    "email": "hostile@school.example",
    "given_name": "Ada",
    "family_name": "Lovelace",
    "date_of_birth": "2005-12-10",
    "programme": "mathematics",
}
VALUES: list[str] = []
ATTRIBUTES = ["student_id", *GOOD]
OPTIONAL: set[str] = set()


def outputs(route: Route, text: str) -> list[tuple[int, dict[str, Any]]]:
    """The workflow's possible answers, with a foreign text in each place that takes one."""
    problem = {"field": text, "code": text, "message": text}
    answers = {
        "POST /accounts": [
            (201, {"student_id": "student"}),
            (409, {"code": "ACCOUNT_EXISTS", "message": "It has."}),
        ],
        "PATCH /accounts/me": [
            (200, dict.fromkeys(ATTRIBUTES, text)),
            (404, {"code": "NOT_FOUND", "message": "There is none."}),
        ],
    }
    return [
        *answers[str(route)],
        (422, {"code": "INVALID_ACCOUNT", "message": text, "problems": [problem]}),
        (503, {"code": "TRY_AGAIN", "message": "Try again in a minute."}),
    ]


class Private:
    """The account of a student."""

    def __init__(self, stack: Stack, student: Student) -> None:
        self._table, self._dynamodb = stack.outputs["AccountsTableName"], stack.client("dynamodb")
        self._workflows, self._close = stack.client("stepfunctions"), physical_ids(stack, "accounts")["CloseAccount"]
        student_id = claims_of(student.token)["custom:student_id"]
        self._key = {"account_key": {"S": f"STUDENT:{student_id}"}}
        self.text = "Featherstonehaugh-Smythe"
        # An address that no user has, because DELETE deletes the user.
        account = GOOD | {"student_id": student_id, "family_name": self.text, "email": "nobody@school.example"}
        item = self._key | {name: {"S": value} for name, value in account.items()}
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def path(self, route: Route) -> str:
        return route.path()

    def body(self, route: Route) -> dict[str, Any] | None:
        """A body without any error."""
        return route.body()

    def read(self) -> dict[str, Any]:
        return self._dynamodb.get_item(TableName=self._table, Key=self._key, ConsistentRead=True)["Item"]

    def delete(self) -> None:
        running = {"stateMachineArn": self._close, "statusFilter": "RUNNING"}
        wait_until(lambda: not self._workflows.list_executions(**running)["executions"], "no account is being deleted")
        self._dynamodb.delete_item(TableName=self._table, Key=self._key)
