"""One account and one e-mail for each address, whatever fails on the way."""

import json
import os
import random
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from faults import denied, environment, intercepted, kill_function, killed_at_random
from local_mailbox import mails_to
from schedules import run_now
from stack import Stack, wait_until

WORKFLOW_FUNCTIONS = ["validate-account", "check-account", "create-account", "notify-student"]
QUEUE_FUNCTIONS = ["start-account-workflow", "send-notification"]
QUEUES = ["AccountRequestsQueueUrl", "NotificationsQueueUrl"]
DEAD_LETTER_QUEUES = ["FailedAccountRequestsQueueUrl", "FailedNotificationsQueueUrl"]

HOSTILE_NAMES = [
    '"}, "student_id": "someone-else", "x": {"y": "',
    "' || $uuid() || '",
    "{% $states.context %}",
    "$util.escapeJavaScript($y) #set($x = 1) ${AccountsTable}",
    'back\\slash \\" \\u0041 \n\r\t \x00',
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.example")',
]


def account(**fields: str) -> dict[str, str]:
    """A request that is good, for an address that nobody has, but for these fields."""
    return {
        "email": f"{uuid.uuid4()}@school.example",
        "given_name": "Zoë",
        "family_name": "O'Neill-Grünwald",
        "date_of_birth": "2004-02-29",
        "programme": "mathematics",
    } | fields


def sign_up(stack: Stack, request: dict[str, Any]) -> requests.Response:
    return requests.post(f"{stack.api_url}/accounts", json=request, timeout=60)


def assert_error(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return error


def notified(stack: Stack) -> Counter[str]:
    """How many e-mails about an account each address has got."""
    return Counter(
        address for mail in mails_to(stack) if mail["Subject"] == "Your account at school" for address in mail["To"]
    )


def items(stack: Stack, prefix: str) -> list[dict[str, Any]]:
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["AccountsTableName"])
    return [item for page in pages for item in page["Items"] if item["account_key"]["S"].startswith(prefix)]


def students(stack: Stack, email: str) -> list[dict[str, Any]]:
    return [item for item in items(stack, "STUDENT:") if item["email"]["S"] == email]


def user(stack: Stack, email: str) -> dict[str, Any]:
    """The user of this address, with its attributes by name."""
    found = stack.client("cognito-idp").admin_get_user(UserPoolId=stack.outputs["UserPoolId"], Username=email)
    return found | {attribute["Name"]: attribute["Value"] for attribute in found["UserAttributes"]}


def assert_one_account(stack: Stack, email: str) -> None:
    """One account, whose user can sign in, told of once."""
    wait_until(lambda: notified(stack)[email] > 0, "the student is notified")
    wait_until(lambda: all("notified_at" in student for student in students(stack, email)), "that is noted")
    [student] = students(stack, email)
    assert "unfinished" not in student
    assert user(stack, email)["custom:student_id"] == student["student_id"]["S"]
    assert user(stack, email)["UserStatus"] == "CONFIRMED"
    wait_until_settled(stack)
    assert notified(stack)[email] == 1


def messages_in(stack: Stack, output: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[output], AttributeNames=names)
    return sum(int(count) for count in attributes["Attributes"].values())


def wait_until_settled(stack: Stack, seconds: float = 120) -> None:
    wait_until(lambda: not any(messages_in(stack, queue) for queue in QUEUES), "the queues are empty", seconds)
    assert [messages_in(stack, queue) for queue in DEAD_LETTER_QUEUES] == [0, 0]


@pytest.fixture(autouse=True, scope="module")
def prepared(stack: Stack) -> None:
    """These tests alone ask for more accounts than the API lets the world ask for, all of them on one small machine."""
    if os.environ.get("STACK"):
        return
    gateway, functions = stack.client("apigateway"), stack.client("lambda")
    api, stage = stack.api_url.split("/")[-2:]
    paths = ["/~1accounts/POST/throttling", "/~1account-requests/POST/throttling"]
    limits = {"rateLimit": "10000", "burstLimit": "5000"}
    operations = [
        {"op": "replace", "path": f"{path}/{name}", "value": value} for path in paths for name, value in limits.items()
    ]
    gateway.update_stage(restApiId=api, stageName=stage, patchOperations=operations)
    for function in WORKFLOW_FUNCTIONS:
        functions.put_function_concurrency(FunctionName=f"{stack.name}-{function}", ReservedConcurrentExecutions=25)


@pytest.fixture
def impatient(stack: Stack, local_cloud: None) -> Iterator[None]:
    """Messages that were not dealt with come again after seconds, not minutes, but not while they are at work."""
    sqs = stack.client("sqs")

    def set_timeouts(seconds: dict[str, str]) -> None:
        for queue, timeout in seconds.items():
            sqs.set_queue_attributes(QueueUrl=stack.outputs[queue], Attributes={"VisibilityTimeout": timeout})

    set_timeouts({"AccountRequestsQueueUrl": "20", "NotificationsQueueUrl": "6"})
    yield
    set_timeouts({"AccountRequestsQueueUrl": "360", "NotificationsQueueUrl": "180"})


def test_a_student_signs_up_is_told_and_signs_in(stack: Stack) -> None:
    request = account()
    answer = sign_up(stack, request | {"email": f" {request['email'].upper()} ", "given_name": " Zoe\u0308 "})
    assert answer.status_code == 201, answer.text
    student = stack.sign_in(request["email"])
    own = urljoin(answer.url, answer.headers["Location"])
    shown = requests.get(own, headers={"Authorization": student.token}, timeout=30)
    assert shown.status_code == 200, shown.text
    assert shown.json() == request | {"student_id": answer.json()["student_id"]}


def test_an_account_is_finished_when_its_student_was_told(stack: Stack, local_cloud: None) -> None:
    request = account()
    assert sign_up(stack, request).status_code == 201
    assert_one_account(stack, request["email"])


def test_a_request_that_waits_in_the_queue_becomes_an_account(stack: Stack, local_cloud: None) -> None:
    request = account()
    assert requests.post(f"{stack.api_url}/account-requests", json=request, timeout=60).status_code == 202
    assert_one_account(stack, request["email"])


def test_a_queued_request_that_is_refused_is_told_to_its_student_once_a_day(stack: Stack, impatient: None) -> None:
    request = account(given_name="<b>Zoë</b>", family_name="http://evil.example")
    address = request["email"]
    for email in (address, f" {address.upper()} ", "x@1.2.3.4"):
        answer = requests.post(f"{stack.api_url}/account-requests", json=request | {"email": email}, timeout=60)
        assert answer.status_code == 202
    wait_until(lambda: mails_to(stack, address) != [], "the student is told")
    wait_until_settled(stack)
    [mail] = mails_to(stack, address)
    assert [line.partition(":")[0] for line in mail["BodyText"].splitlines() if line.startswith("- ")] == [
        "- given name",
        "- family name",
    ]
    # Whoever asked may be somebody else, who must not write to this address.
    assert "Zoë" not in mail["BodyText"]
    assert "evil" not in mail["BodyText"]
    assert students(stack, address) == []
    assert mails_to(stack, "x@1.2.3.4") == []


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_created(stack: Stack) -> None:
    request = account(given_name=" ", family_name="http://evil.example", date_of_birth="2004-02-30", programme="magic")
    error = assert_error(sign_up(stack, request), 422, "INVALID_ACCOUNT")
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
    shown = stack.sign_in(request["email"]).request("GET", "/accounts/me").json()
    assert (shown["given_name"], shown["family_name"]) == (given_name, family_name)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_is_a_name_that_is_refused(stack: Stack, name: str) -> None:
    error = assert_error(sign_up(stack, account(given_name=name)), 422, "INVALID_ACCOUNT")
    assert [problem["field"] for problem in error["problems"]] == ["given_name"]


def test_what_can_not_be_queued_is_refused(stack: Stack) -> None:
    """ "A message can include only XML, JSON, and unformatted text. [...] #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to
    #xFFFD | #x10000 to #x10FFFF" (SendMessage)."""
    for name in ("Ada\ufffe", "\uffffAda"):
        body = json.dumps(account(given_name=name), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{stack.api_url}/account-requests", data=body, headers=headers, timeout=30)
        assert_error(answer, 400, "BAD_REQUEST")


def test_spaces_do_not_make_a_request_too_large_for_the_queue(stack: Stack, local_cloud: None) -> None:
    request = account()
    body = " " * 2_000_000 + json.dumps(request)
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{stack.api_url}/account-requests", data=body, headers=headers, timeout=60)
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
    answer = requests.post(f"{stack.api_url}{route}", data=body, headers=headers, timeout=30)
    assert_error(answer, 400, "BAD_REQUEST_BODY")
    assert len(items(stack, "")) == before


def test_an_account_is_shown_to_its_student_only(stack: Stack) -> None:
    assert_error(requests.get(f"{stack.api_url}/accounts/me", timeout=30), 401, "UNAUTHORIZED")
    stranger = stack.create_student(f"{uuid.uuid4()}@school.example")
    assert_error(stranger.request("GET", "/accounts/me"), 404, "NOT_FOUND")


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
    assert notified(stack)[request["email"]] == 0
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
    run_now(stack, "FinishAccountsSchedule")
    assert_one_account(stack, request["email"])


def test_an_outage_of_ses_delays_the_e_mail(stack: Stack, impatient: None) -> None:
    def in_progress() -> set[str]:
        records = stack.client("dynamodb").scan(TableName=stack.outputs["IdempotencyTableName"])["Items"]
        return {record["id"]["S"] for record in records if record["status"]["S"] == "INPROGRESS"}

    request, before = account(), in_progress()
    with denied(stack, "send-notification", "ses:SendEmail"):
        assert sign_up(stack, request).status_code == 201

        def has_failed() -> bool:
            return messages_in(stack, "NotificationsQueueUrl") > 0 and in_progress() <= before

        wait_until(has_failed, "the first attempt has failed")
        assert notified(stack)[request["email"]] == 0
    assert_one_account(stack, request["email"])


def test_an_e_mail_whose_sender_died_is_not_sent_again(stack: Stack, impatient: None) -> None:
    killed = []

    def kill(operation: str) -> None:
        if not killed:
            killed.append(kill_function(f"{stack.name}-send-notification"))

    request = account()
    with (
        intercepted(lambda operation: True, kill) as url,
        environment(stack, "send-notification", AWS_ENDPOINT_URL_SESV2=url),
    ):
        assert sign_up(stack, request).status_code == 201
        assert_one_account(stack, request["email"])
    assert sum(killed) >= 1


def test_an_e_mail_whose_sender_died_before_it_was_sent_is_sent_later(stack: Stack, impatient: None) -> None:
    met = []

    def kill(operation: str) -> bool:
        met.append(operation)
        if len(met) == 1:
            kill_function(f"{stack.name}-send-notification")
        return len(met) > 1

    request = account()
    with (
        intercepted(kill, lambda operation: None) as url,
        environment(stack, "send-notification", AWS_ENDPOINT_URL_SESV2=url, IN_PROGRESS_SECONDS="5"),
    ):
        assert sign_up(stack, request).status_code == 201
        assert_one_account(stack, request["email"])
    assert len(met) == 2


def test_a_thousand_requests_at_once_with_functions_dying_make_one_account_and_one_e_mail_each(
    stack: Stack, impatient: None
) -> None:
    chance = random.Random(3)
    requested = [account() for _ in range(900)]
    requested += [request | {"email": request["email"].upper()} for request in chance.sample(requested, 100)]
    chance.shuffle(requested)
    addresses = {request["email"].lower() for request in requested}

    def ask(request: dict[str, str]) -> requests.Response:
        return requests.post(f"{stack.api_url}/account-requests", json=request, timeout=60)

    functions = WORKFLOW_FUNCTIONS + QUEUE_FUNCTIONS
    with environment(stack, "send-notification", IN_PROGRESS_SECONDS="60"):
        with killed_at_random(stack, functions, chance.choice) as hit:
            with ThreadPoolExecutor(50) as pool:
                answers = list(pool.map(ask, requested))
            assert {answer.status_code for answer in answers} == {202}
            wait_until(lambda: not messages_in(stack, QUEUES[0]), "all requests are answered", seconds=600)
        wait_until_settled(stack, seconds=600)
    assert len(hit) > 20
    told = notified(stack)
    assert {address: told[address] for address in addresses} == dict.fromkeys(addresses, 1)
    accounts = [item for item in items(stack, "STUDENT:") if item["email"]["S"] in addresses]
    assert Counter(item["email"]["S"] for item in accounts) == dict.fromkeys(addresses, 1)
    assert all("unfinished" not in item for item in accounts)


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
    workflows, arn = stack.client("stepfunctions"), stack.outputs["SchoolAccountArn"]
    before = workflows.describe_state_machine(stateMachineArn=arn)["definition"]
    states = {"Only": state, "End": {"Type": "Succeed"}}
    definition = {"QueryLanguage": "JSONata", "StartAt": "Only", "TimeoutSeconds": 1, "States": states}
    workflows.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    try:
        assert_error(sign_up(stack, account()), status, code)
    finally:
        workflows.update_state_machine(stateMachineArn=arn, definition=before)
