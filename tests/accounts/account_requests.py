"""Requests for accounts, and their results."""

import os
import uuid
from typing import Any

import queues
import requests
from stack import Stack, wait_until

HOSTILE_NAMES = [
    '"}, "student_id": "someone-else", "x": {"y": "',
    "' || $uuid() || '",
    "{% $states.context %}",
    "$util.escapeJavaScript($y) #set($x = 1) ${AccountsTable}",
    'back\\slash \\" \\u0041 \n\r\t \x00',
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.example")',
]

WORKFLOW_FUNCTIONS = ["validate-account", "check-account", "create-account", "notify-student"]


def account(**fields: str) -> dict[str, str]:
    """A good request, with a new address, except for these fields."""
    return {
        "email": f"{uuid.uuid4()}@school.example",
        "given_name": "Zoë",
        "family_name": "O'Neill-Grünwald",
        "date_of_birth": "2004-02-29",
        "programme": "mathematics",
    } | fields


def sign_up(stack: Stack, request: dict[str, Any]) -> requests.Response:
    """Asks for an account, and waits for the workflow's answer."""
    return requests.post(f"{stack.api_url('accounts')}/accounts", json=request, timeout=60)


def queue_request(stack: Stack, request: dict[str, Any]) -> requests.Response:
    """Asks for an account through the queue."""
    return requests.post(f"{stack.api_url('accounts')}/account-requests", json=request, timeout=60)


def items(stack: Stack, prefix: str) -> list[dict[str, Any]]:
    """The items of the accounts table whose keys have this prefix."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["AccountsTableName"])
    return [item for page in pages for item in page["Items"] if item["account_key"]["S"].startswith(prefix)]


def students(stack: Stack, email: str) -> list[dict[str, Any]]:
    """The accounts of an address."""
    return [item for item in items(stack, "STUDENT:") if item["email"]["S"] == email]


def user(stack: Stack, email: str) -> dict[str, Any]:
    """The user of this address, with its attributes by name."""
    found = stack.client("cognito-idp").admin_get_user(UserPoolId=stack.outputs["UserPoolId"], Username=email)
    return found | {attribute["Name"]: attribute["Value"] for attribute in found["UserAttributes"]}


def assert_one_account(stack: Stack, email: str) -> None:
    """Waits until an address has an announced account; checks that there is one, and that its user can sign in."""
    announced = "there is an account, and it is announced"
    wait_until(lambda: any("unfinished" not in one for one in students(stack, email)), announced)
    [student] = students(stack, email)
    assert "unfinished" not in student
    assert user(stack, email)["custom:student_id"] == student["student_id"]["S"]
    assert user(stack, email)["UserStatus"] == "CONFIRMED"


def wait_until_settled(stack: Stack, seconds: float = 120) -> None:
    """Waits until all queued requests are answered; checks that none has failed."""
    wait_until(lambda: not queues.count(stack, "AccountRequestsQueueUrl"), "all requests are answered", seconds)
    assert queues.count(stack, "FailedAccountRequestsQueueUrl") == 0


def allow_many_requests(stack: Stack) -> None:
    """Lifts the API's limits in the local cloud, because the tests ask for many accounts from one small machine."""
    if os.environ.get("STACK"):
        return
    gateway, functions = stack.client("apigateway"), stack.client("lambda")
    api, stage = stack.api_url("accounts").split("/")[-2:]
    paths = ["/~1accounts/POST/throttling", "/~1account-requests/POST/throttling"]
    limits = {"rateLimit": "10000", "burstLimit": "5000"}
    operations = [
        {"op": "replace", "path": f"{path}/{name}", "value": value} for path in paths for name, value in limits.items()
    ]
    gateway.update_stage(restApiId=api, stageName=stage, patchOperations=operations)
    for function in WORKFLOW_FUNCTIONS:
        functions.put_function_concurrency(FunctionName=f"{stack.name}-{function}", ReservedConcurrentExecutions=25)


def recognisable_account(**fields: str) -> dict[str, str]:
    """A good request, with personal data that a search of the logs would find."""
    return (
        account(
            email=f"zoltan-{uuid.uuid4()}@school.example",
            given_name="Zoltán",
            family_name="Featherstonehaugh",
            date_of_birth="1987-06-05",
            programme="history",
        )
        | fields
    )
