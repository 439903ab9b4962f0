"""Students correct and delete their own accounts, whatever fails meanwhile."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from account_requests import HOSTILE_NAMES, account, assert_one_account, items, sign_up, students
from deployed import physical_ids
from faults import denied, denied_to_role, permitted_to_role, redefined
from openapi import assert_error
from stack import Stack, Student, wait_until
from tokens import claims_of

pytestmark = pytest.mark.usefixtures("many_requests")

Announced = Callable[[str], list[dict[str, Any]]]


def open_account(stack: Stack, **fields: str) -> tuple[Student, dict[str, str]]:
    """A signed-in student with a new account."""
    request = account(**fields)
    answer = sign_up(stack, request)
    assert answer.status_code == 201, answer.text
    return stack.sign_in(request["email"]), request | answer.json()


def correct(student: Student, changes: Any) -> requests.Response:
    return student.request("PATCH", "/accounts/me", "accounts", json=changes)


def close(student: Student) -> requests.Response:
    return student.request("DELETE", "/accounts/me", "accounts")


def shown(student: Student) -> dict[str, str]:
    answer = student.request("GET", "/accounts/me", "accounts")
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_user(stack: Stack, email: str) -> bool:
    cognito = stack.client("cognito-idp")
    try:
        cognito.admin_get_user(UserPoolId=stack.outputs["UserPoolId"], Username=email)
    except cognito.exceptions.UserNotFoundException:
        return False
    return True


def wait_until_gone(stack: Stack, opened: dict[str, str]) -> None:
    keys = {f"STUDENT:{opened['student_id']}", f"EMAIL:{opened['email']}"}
    wait_until(
        lambda: not keys & {item["account_key"]["S"] for item in items(stack, "")}, "the account's items are deleted"
    )
    assert not is_user(stack, opened["email"])


class Closing:
    """The execution that deletes a student's account."""

    def __init__(self, stack: Stack, student_id: str) -> None:
        self._workflows = stack.client("stepfunctions")
        self._arn = (
            f"{physical_ids(stack, 'accounts')['CloseAccount'].replace(':stateMachine:', ':execution:')}:{student_id}"
        )

    def wait_for(self, event: str) -> None:
        """Waits for the event ``TaskFailed``, or ``<type>StateEntered``, in its history."""

        def happened() -> bool:
            history = self._workflows.get_execution_history(executionArn=self._arn, maxResults=1000)["events"]
            return event in [one["type"] for one in history]

        wait_until(happened, f"{event} is in the history")

    def stop(self) -> None:
        self._workflows.stop_execution(executionArn=self._arn)

    def redrive(self) -> None:
        self._workflows.redrive_execution(executionArn=self._arn)


def test_a_student_corrects_names_and_programme(stack: Stack) -> None:
    student, opened = open_account(stack)
    [before] = students(stack, opened["email"])
    for changes in ({"family_name": "Grünwald"}, {"given_name": "Zoe", "programme": "physics"}):
        opened |= changes
        answer = correct(student, changes)
        assert answer.status_code == 200, answer.text
        assert answer.json() == shown(student) == opened
    # As a new account, in the canonical form.
    names = {"given_name": '\'t ශ්\u200dරී "J.R.R." (A/P)', "family_name": "\u2019s-Gravesande :!`, レオナルド"}
    typed = {"given_name": f"\u200f{names['given_name']}\u00ad", "family_name": f" \ufeff{names['family_name']} "}
    assert correct(student, typed).json() == shown(student) == opened | names
    [after] = students(stack, opened["email"])
    assert {name for name in before if before[name] != after[name]} == {"given_name", "family_name", "programme"}
    # Another room may note meanwhile that the student was told.
    assert before.keys() <= after.keys()
    assert_one_account(stack, opened["email"])


def test_what_no_account_may_have_is_told_at_once_and_nothing_is_corrected(stack: Stack) -> None:
    student, opened = open_account(stack)
    changes = {"given_name": " ", "family_name": "http://evil.example", "programme": "magic"}
    error = assert_error(correct(student, changes), 422, "INVALID_ACCOUNT", "problems")
    assert {problem["field"]: problem["code"] for problem in error["problems"]} == {
        "given_name": "REQUIRED",
        "family_name": "INVALID_NAME",
        "programme": "UNKNOWN_PROGRAMME",
    }
    for name in HOSTILE_NAMES:
        error = assert_error(correct(student, {"family_name": name}), 422, "INVALID_ACCOUNT", "problems")
        assert [problem["field"] for problem in error["problems"]] == ["family_name"], name
    bodies = ({}, [], None, {"given_name": 1}, {"given_name": None}, {"given_name": "x" * 501}, {"programme": "\ud83d"})
    others = ({name: "x", "programme": "history"} for name in ("email", "date_of_birth", "student_id", "created_at"))
    for body in (*bodies, *others):
        assert_error(correct(student, body), 400, "BAD_REQUEST_BODY")
    assert shown(student) == opened


def test_who_has_no_account_corrects_none(stack: Stack) -> None:
    stranger = stack.create_student(f"{uuid.uuid4()}@school.example")
    assert_error(correct(stranger, {"given_name": "Zoe"}), 404, "NOT_FOUND")
    assert items(stack, f"STUDENT:{claims_of(stranger.token)['custom:student_id']}") == []


def test_a_correction_that_fails_can_be_tried_again(stack: Stack, local_cloud: None) -> None:
    student, opened = open_account(stack)
    role = physical_ids(stack, "accounts")["CorrectAccountRole"]
    for action in ("dynamodb:GetItem", "dynamodb:UpdateItem"):
        with denied_to_role(stack, role, action):
            answer = correct(student, {"given_name": "Zoe"})
        assert_error(answer, 503, "TRY_AGAIN")
        assert answer.headers["Retry-After"] == "5"
    assert shown(student) == opened
    assert correct(student, {"given_name": "Zoe"}).json() == opened | {"given_name": "Zoe"}


def test_a_correction_does_not_bring_a_deleted_account_back(stack: Stack, local_cloud: None) -> None:
    student, opened = open_account(stack)
    [item] = students(stack, opened["email"])
    role, table = physical_ids(stack, "accounts")["CorrectAccountRole"], stack.outputs["AccountsTableName"]

    def delete_before_writing(definition: dict[str, Any]) -> None:
        states = definition["States"]
        states["IsValid"]["Choices"][0]["Next"] = "Delete"
        states["Delete"] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:deleteItem",
            "Arguments": {"TableName": table, "Key": {"account_key": item["account_key"]}},
            "Output": "{% $states.input %}",
            "Next": "CorrectAccount",
        }

    with (
        permitted_to_role(stack, role, "dynamodb:DeleteItem"),
        redefined(stack, physical_ids(stack, "accounts")["CorrectAccount"], delete_before_writing),
    ):
        assert_error(correct(student, {"given_name": "Zoe"}), 404, "NOT_FOUND")
    assert students(stack, opened["email"]) == []
    stack.client("dynamodb").put_item(TableName=table, Item=item)


def test_a_deleted_account_leaves_nothing_and_its_address_is_free(stack: Stack, announced: Announced) -> None:
    student, opened = open_account(stack)
    answer = close(student)
    assert answer.status_code == 202, answer.text
    wait_until_gone(stack, opened)
    event = {"student_id": opened["student_id"]}
    wait_until(lambda: event in announced("AccountClosed"), "it is announced")
    cognito = stack.client("cognito-idp")
    with pytest.raises(cognito.exceptions.UserNotFoundException):
        stack.sign_in(opened["email"])
    # The token is still valid.
    assert_error(student.request("GET", "/accounts/me", "accounts"), 404, "NOT_FOUND")
    assert_error(correct(student, {"given_name": "Zoe"}), 404, "NOT_FOUND")

    again, reopened = open_account(stack, email=opened["email"])
    assert reopened["student_id"] != opened["student_id"]
    assert close(student).status_code == 202
    assert shown(again) == reopened
    assert_one_account(stack, opened["email"])
    assert announced("AccountClosed").count(event) == 1


def test_nobody_deletes_an_account_with_an_id_that_no_account_can_have(stack: Stack) -> None:
    email = f"{uuid.uuid4()}@school.example"
    stack.client("cognito-idp").admin_create_user(
        UserPoolId=stack.outputs["UserPoolId"],
        Username=email,
        UserAttributes=[{"Name": "custom:student_id", "Value": 'no "id" of ours\\'}],
        MessageAction="SUPPRESS",
    )
    assert_error(close(stack.sign_in(email)), 404, "NOT_FOUND")
    assert is_user(stack, email)


@pytest.mark.parametrize("action", ["cognito-idp:AdminDeleteUser", "dynamodb:DeleteItem", "events:PutEvents"])
def test_a_deletion_that_is_interrupted_goes_on(
    stack: Stack, local_cloud: None, announced: Announced, action: str
) -> None:
    student, opened = open_account(stack)
    closing, event = Closing(stack, opened["student_id"]), {"student_id": opened["student_id"]}
    with denied_to_role(stack, physical_ids(stack, "accounts")["CloseAccountRole"], action):
        assert close(student).status_code == 202
        closing.wait_for("TaskFailed")
        assert close(student).status_code == 202
        # The user goes first, and then no one opens an account whose user would be deleted.
        assert is_user(stack, opened["email"]) == (action == "cognito-idp:AdminDeleteUser")
        if action == "events:PutEvents":
            assert students(stack, opened["email"]) == []
        else:
            assert_error(sign_up(stack, account(email=opened["email"])), 409, "ACCOUNT_EXISTS")
        assert event not in announced("AccountClosed")
        if action == "dynamodb:DeleteItem":
            closing.stop()
    if action == "dynamodb:DeleteItem":
        closing.redrive()
    wait_until(lambda: event in announced("AccountClosed"), "it is announced")
    wait_until_gone(stack, opened)


def test_an_unfinished_account_is_deleted_when_it_is_finished(stack: Stack, local_cloud: None) -> None:
    request = account()
    with denied(stack, "notify-student", "events:PutEvents"):
        assert_error(sign_up(stack, request), 503, "TRY_AGAIN")
    [item] = students(stack, request["email"])

    def wait_less(definition: dict[str, Any]) -> None:
        definition["States"]["WaitUntilFinished"]["Seconds"] = 1

    with redefined(stack, physical_ids(stack, "accounts")["CloseAccount"], wait_less):
        assert close(stack.sign_in(request["email"])).status_code == 202
        Closing(stack, item["student_id"]["S"]).wait_for("WaitStateEntered")
        assert is_user(stack, request["email"])
        assert_error(sign_up(stack, request), 409, "ACCOUNT_EXISTS")
        wait_until_gone(stack, request | {"student_id": item["student_id"]["S"]})
