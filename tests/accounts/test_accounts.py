"""One account for each address, whatever fails meanwhile."""

import json
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from account_requests import (
    HOSTILE_NAMES,
    account,
    assert_one_account,
    items,
    queue_request,
    sign_up,
    students,
    wait_until_settled,
)
from deployed import run_schedule_now
from faults import denied, environment, intercepted, kill_function, redefined
from openapi import assert_error
from stack import Stack, wait_until

pytestmark = pytest.mark.usefixtures("many_requests")

Announced = Callable[[str], list[dict[str, Any]]]


def test_a_student_signs_up_and_signs_in(stack: Stack) -> None:
    request = account()
    answer = sign_up(stack, request | {"email": f" {request['email'].upper()} ", "given_name": " Zoe\u0308 "})
    assert answer.status_code == 201, answer.text
    student = stack.sign_in(request["email"])
    own = urljoin(answer.url, answer.headers["Location"])
    shown = requests.get(own, headers={"Authorization": student.token}, timeout=30)
    assert shown.status_code == 200, shown.text
    assert shown.json() == request | {"student_id": answer.json()["student_id"]}


def test_an_account_is_announced_once_and_then_finished(stack: Stack, announced: Announced) -> None:
    request = account()
    answer = sign_up(stack, request)
    assert answer.status_code == 201
    assert_one_account(stack, request["email"])
    event = {"student_id": answer.json()["student_id"]}
    wait_until(lambda: event in announced("AccountCreated"), "the account is announced")
    assert announced("AccountCreated").count(event) == 1


def test_a_request_that_waits_in_the_queue_becomes_an_account(stack: Stack, local_cloud: None) -> None:
    request = account()
    assert queue_request(stack, request).status_code == 202
    assert_one_account(stack, request["email"])
    wait_until_settled(stack)


def test_a_queued_request_that_is_refused_is_announced_without_what_was_typed(
    stack: Stack, announced: Announced, impatient: None
) -> None:
    """The caller may be a stranger, who must not write to this address. The other address does not exist."""
    request = account(given_name="<b>Zoë</b>", family_name="http://evil.example")
    address = request["email"]
    for email in ("x@1.2.3.4", f" {address.upper()} "):
        assert queue_request(stack, request | {"email": email}).status_code == 202

    def refused() -> list[dict[str, Any]]:
        return [event for event in announced("AccountRefused") if event["email"] in (address, "x@1.2.3.4")]

    wait_until(lambda: bool(refused()), "the refusal is announced")
    wait_until_settled(stack)
    [event] = refused()
    assert event.keys() == {"email", "problems"}
    assert event["email"] == address
    assert [problem["field"] for problem in event["problems"]] == ["given_name", "family_name"]
    assert "Zoë" not in json.dumps(event, ensure_ascii=False)
    assert "evil" not in json.dumps(event)
    assert students(stack, address) == []


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_created(stack: Stack) -> None:
    request = account(given_name=" ", family_name="http://evil.example", date_of_birth="2004-02-30", programme="magic")
    error = assert_error(sign_up(stack, request), 422, "INVALID_ACCOUNT", "problems")
    assert {problem["field"]: problem["code"] for problem in error["problems"]} == {
        "given_name": "REQUIRED",
        "family_name": "INVALID_NAME",
        "date_of_birth": "INVALID_DATE",
        "programme": "UNKNOWN_PROGRAMME",
    }
    assert all(problem["message"] for problem in error["problems"])
    assert students(stack, request["email"]) == []


def test_a_name_is_kept_as_its_owner_writes_it(stack: Stack) -> None:
    given_name, family_name = '\'t ශ්\u200dරී "J.R.R." (A/P)', "\u2019s-Gravesande :!`, レオナルド・ディカプリオ"
    request = account(given_name=f"\u200f{given_name}\u00ad", family_name=f"\ufeff{family_name}")
    assert sign_up(stack, request).status_code == 201
    shown = stack.sign_in(request["email"]).request("GET", "/accounts/me", "accounts").json()
    assert (shown["given_name"], shown["family_name"]) == (given_name, family_name)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_is_a_name_that_is_refused(stack: Stack, name: str) -> None:
    error = assert_error(sign_up(stack, account(given_name=name)), 422, "INVALID_ACCOUNT", "problems")
    assert [problem["field"] for problem in error["problems"]] == ["given_name"]


def test_what_can_not_be_queued_is_refused(stack: Stack) -> None:
    """ "A message can include only XML, JSON, and unformatted text. [...] #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to
    #xFFFD | #x10000 to #x10FFFF" (SendMessage)."""
    for name in ("Ada\ufffe", "\uffffAda"):
        body = json.dumps(account(given_name=name), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{stack.api_url('accounts')}/account-requests", data=body, headers=headers, timeout=30)
        assert_error(answer, 400, "BAD_REQUEST")


def test_spaces_do_not_make_a_request_too_large_for_the_queue(stack: Stack, local_cloud: None) -> None:
    request = account()
    body = " " * 2_000_000 + json.dumps(request)
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{stack.api_url('accounts')}/account-requests", data=body, headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    wait_until(lambda: students(stack, request["email"]), "there is an account")


@pytest.mark.parametrize("route", ["/accounts", "/account-requests"])
@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", "{}", '{"email": "a@b.example"}']
    + [
        json.dumps(account() | wrong)
        for wrong in ({"email": 1}, {"email": {}}, {"programme": None}, {"student_id": "x"})
    ]
    + [json.dumps(account(given_name=name)) for name in ("x" * 501, "half a pair \ud83d")],
)
def test_a_body_that_is_no_request_is_refused(stack: Stack, route: str, body: str) -> None:
    before = len(items(stack, ""))
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{stack.api_url('accounts')}{route}", data=body, headers=headers, timeout=30)
    assert_error(answer, 400, "BAD_REQUEST_BODY")
    assert len(items(stack, "")) == before


def test_an_account_is_shown_to_its_student_only(stack: Stack) -> None:
    assert_error(requests.get(f"{stack.api_url('accounts')}/accounts/me", timeout=30), 401, "UNAUTHORIZED")
    stranger = stack.create_student(f"{uuid.uuid4()}@school.example")
    assert_error(stranger.request("GET", "/accounts/me", "accounts"), 404, "NOT_FOUND")


def spellings(address: str) -> list[str]:
    """A hundred ways to write an address of the domain münchen.example."""
    local = address.partition("@")[0]
    domains = ["münchen.example", "MÜNCHEN.EXAMPLE", "xn--mnchen-3ya.example", "Xn--Mnchen-3ya.Example"]
    domains.append(unicodedata.normalize("NFD", domains[0]))
    written = [
        f"{pad}{case(local)}@{domain}{pad}"
        for domain in domains
        for case in (str.lower, str.upper, str.title)
        for pad in ("", " ", "\t")
    ]
    return [written[index % len(written)] for index in range(100)]


@pytest.mark.large
def test_of_a_hundred_sign_ups_of_one_address_one_wins(stack: Stack, impatient: None) -> None:
    address = f"{uuid.uuid4()}@xn--mnchen-3ya.example"
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda email: sign_up(stack, account(email=email)), spellings(address)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    assert_one_account(stack, address)


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("DYNAMODB", "TransactWriteItems"),
        ("COGNITO_IDENTITY_PROVIDER", "AdminCreateUser"),
        ("COGNITO_IDENTITY_PROVIDER", "AdminSetUserPassword"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_create_account_killed_at_a_write_leaves_one_whole_account(
    stack: Stack, impatient: None, service: str, operation: str, when: str
) -> None:
    killed = []

    def kill_once(moment: str) -> Callable[[str], bool]:
        def meet(seen: str) -> bool:
            if moment == when and seen == operation and not killed:
                killed.append(kill_function(f"{stack.name}-create-account"))
                return moment == "after"
            return True

        return meet

    request = account()
    with (
        intercepted(kill_once("before"), kill_once("after")) as url,
        environment(stack, "create-account", **{f"AWS_ENDPOINT_URL_{service}": url}),
    ):
        answer = sign_up(stack, request)
    assert sum(killed) >= 1
    assert answer.status_code == 201, answer.text
    assert_one_account(stack, request["email"])


def test_an_account_that_was_cut_short_is_finished_by_the_next_who_asks(stack: Stack, impatient: None) -> None:
    request = account()
    with denied(stack, "create-account", "cognito-idp:*"):
        assert_error(sign_up(stack, request), 503, "TRY_AGAIN")
    assert len(students(stack, request["email"])) == 1
    assert_error(sign_up(stack, request), 409, "ACCOUNT_EXISTS")
    assert_one_account(stack, request["email"])


def test_an_account_that_was_cut_short_is_finished_when_nobody_asks(stack: Stack, impatient: None) -> None:
    request = account()
    with denied(stack, "notify-student", "events:PutEvents"):
        assert_error(sign_up(stack, request), 503, "TRY_AGAIN")
    [student] = students(stack, request["email"])
    assert student["unfinished"]["S"]
    # Ten minutes ago.
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["AccountsTableName"],
        Key={"account_key": student["account_key"]},
        UpdateExpression="SET created_at = :then",
        ExpressionAttributeValues={":then": {"S": "2026-01-01T00:00:00Z"}},
    )
    run_schedule_now(stack, "accounts", "FinishAccountsSchedule")
    assert_one_account(stack, request["email"])


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ({"Type": "Wait", "Seconds": 2, "Next": "End"}, 504, "TRY_AGAIN"),
        ({"Type": "Fail", "Error": "Unexpected"}, 500, "INTERNAL_ERROR"),
    ],
)
def test_a_workflow_without_an_answer_is_an_error_that_says_what_to_do(
    stack: Stack, local_cloud: None, state: dict[str, Any], status: int, code: str
) -> None:
    changes = {"StartAt": "Only", "TimeoutSeconds": 1, "States": {"Only": state, "End": {"Type": "Succeed"}}}
    with redefined(stack, stack.outputs["SchoolAccountArn"], lambda definition: definition.update(changes)):
        assert_error(sign_up(stack, account()), status, code)
