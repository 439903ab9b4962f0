"""The load on accounts."""

import os
import time

from accounts.books import User, accounts
from books import Attempt, Line
from deployed import physical_ids
from faults import denied, denied_to_role
from outages import Outages, dying_at_writes, throttled_functions
from queues import count
from stack import Stack, wait_until

SIGN_UPS = int(os.environ["SIGN_UPS"])
STUDENTS = 0
SECONDS_TO_SETTLE = 1800
WORKFLOW_FUNCTIONS = ["validate-account", "check-account", "create-account", "notify-student"]

TITLES = {"open": "`POST /accounts`", "request": "`POST /account-requests`"}
FUNCTIONS = [*WORKFLOW_FUNCTIONS, "start-account-workflow"]
STORY = f"{SIGN_UPS:,} students signed up, half of them at each route. Some sign-ups were repeated."
SETTINGS = (
    "A failed request for an account is received again after a minute. "
    "Each function of the workflow has at most sixteen executions."
)


def prepare(stack: Stack) -> None:
    queue = stack.outputs["AccountRequestsQueueUrl"]
    stack.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "60"})
    for function in WORKFLOW_FUNCTIONS:
        stack.client("lambda").put_function_concurrency(
            FunctionName=f"{stack.name}-{function}", ReservedConcurrentExecutions=16
        )


def outages(stack: Stack, hit: list[str]) -> Outages:
    api = physical_ids(stack, "accounts")["ApiRole"]
    return {
        "Step Functions refuses the API": lambda: denied_to_role(stack, api, "states:StartSyncExecution"),
        "SQS refuses the API": lambda: denied_to_role(stack, api, "sqs:SendMessage"),
        "DynamoDB refuses `create-account`": lambda: denied(stack, "create-account", "dynamodb:*"),
        "Cognito refuses `create-account`": lambda: denied(stack, "create-account", "cognito-idp:*"),
        "EventBridge refuses `notify-student`": lambda: denied(stack, "notify-student", "events:PutEvents"),
        **throttled_functions(stack, FUNCTIONS),
        **dying_at_writes(
            stack,
            {"create-account": ("DYNAMODB", "COGNITO_IDENTITY_PROVIDER"), "notify-student": ("DYNAMODB",)},
            hit,
        ),
    }


def settle(stack: Stack, students: list[dict[str, str]]) -> list[Attempt]:
    def all_are_finished() -> bool:
        time.sleep(5)
        return not count(stack, "AccountRequestsQueueUrl") and not any(
            "unfinished" in item for item in stack.items("AccountsTableName")
        )

    wait_until(all_are_finished, "all accounts are finished", SECONDS_TO_SETTLE)
    return []


def users(stack: Stack) -> list[User]:
    pages = stack.client("cognito-idp").get_paginator("list_users").paginate(UserPoolId=stack.outputs["UserPoolId"])
    found = []
    for page in pages:
        for user in page["Users"]:
            attributes = {attribute["Name"]: attribute["Value"] for attribute in user["Attributes"]}
            found.append(User(attributes["email"], attributes.get("custom:student_id", ""), user["UserStatus"]))
    return found


def balance(stack: Stack, journal: list[Attempt], students: list[dict[str, str]]) -> list[Line]:
    emails = {student["email"] for student in students}
    signed_up = [user for user in users(stack) if user.email not in emails]
    return accounts(journal, stack.items("AccountsTableName"), signed_up)
