"""The cost of a million sign-ups, and the rate at which each limit is reached."""

import math
from typing import Any

from measuring import OURS
from pricing import (
    ASSUMED,
    GB,
    MILLION,
    PRICES,
    QUOTAS,
    Functions,
    Limit,
    cost_table,
    limits_table,
    setting,
    throttle,
    traces,
)

ROOM = "accounts"
MEASURED = "check-account"
"""The case that the figures are for."""

# ---- Values that a reader may want to change

SIGN_UPS_A_SECOND = 1

# ---- How the system and its peers work

SIGN_UP = [
    ("ValidateAccount", ()),
    ("CheckAccount", ("dynamodb",)),
    ("CreateAccount", ("dynamodb", "cognito", "cognito")),
    ("NotifyStudent", ("eventbridge", "dynamodb")),
]
"""The invocations of a sign-up, each with the services that it calls, one after the other."""
WORKFLOW_STATES = 8
# A transaction with two items takes four units. Each of these takes one: entering the index, leaving it, and the notes
# that the account is finished and announced.
SIGN_UP_WRITE_UNITS = 8
SIGN_UP_READ_UNITS = 1
# A browser sends a preflight request first.
SIGN_UP_API_REQUESTS = 2
SIGN_UP_PASSWORD_CALLS = 3
"""AdminSetUserPassword and, when the student chooses a password, ForgotPassword and ConfirmForgotPassword."""

UNFINISHED_INDEX_WRITES = 2
QUEUE_CONCURRENCY = 10
"""Requests of a batch that start-account-workflow handles concurrently."""


def workflow_seconds(functions: Functions) -> float:
    return sum(functions.seconds(*step) for step in SIGN_UP) + WORKFLOW_STATES * ASSUMED["state_seconds"]


def sign_ups_cost(functions: Functions) -> dict[str, float]:
    """USD for a million sign-ups through the form, part by part."""
    invocations = sum(functions.cost(*step) for step in SIGN_UP)
    workflow_hours = math.ceil(workflow_seconds(functions) * 10) / 10 / 3600
    log_bytes = SIGN_UP_API_REQUESTS * ASSUMED["access_log_bytes"] + len(SIGN_UP) * ASSUMED["function_log_bytes"]
    parts = {
        "API Gateway": SIGN_UP_API_REQUESTS * PRICES["api_request"],
        "Step Functions": PRICES["express_request"] + 64 / 1024 * workflow_hours * PRICES["express_gb_hour"],
        "Lambda": invocations,
        "DynamoDB": SIGN_UP_WRITE_UNITS * PRICES["dynamodb_write_unit"]
        + SIGN_UP_READ_UNITS * PRICES["dynamodb_read_unit"],
        "EventBridge": PRICES["event_custom"],
        "Cognito": PRICES["monthly_active_user"],
        "logs": log_bytes / GB * PRICES["log_gb"],
        "traces": traces(SIGN_UPS_A_SECOND * SIGN_UP_API_REQUESTS) / SIGN_UPS_A_SECOND * PRICES["trace"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


def sign_up_limits(functions: Functions) -> list[Limit]:
    seconds_in_lambda = sum(functions.seconds(*step) for step in SIGN_UP)
    workflows = QUEUE_CONCURRENCY * int(setting(ROOM, "StartAccountWorkflow", "MaximumConcurrency"))
    return [
        Limit(
            "codes that Cognito mails by itself",
            QUOTAS["cognito_emails_per_day"] / 86400,
            lambda r: r,
            "`SendCodesThroughSes`",
        ),
        Limit(
            "throttle of `POST /accounts`",
            throttle(ROOM, "/accounts"),
            lambda r: r,
            "`ThrottlingRateLimit` of `/accounts`",
        ),
        Limit(
            "throttle of `POST /account-requests`",
            throttle(ROOM, "/account-requests"),
            lambda r: r,
            "`ThrottlingRateLimit` of `/account-requests`",
        ),
        Limit(
            "concurrent executions that the queue starts",
            workflows,
            lambda r: r * workflow_seconds(functions),
            "`MaximumConcurrency` of `StartAccountWorkflow`; the others wait",
        ),
        Limit(
            "passwords set or forgotten",
            QUOTAS["password_calls_per_second"],
            lambda r: r * SIGN_UP_PASSWORD_CALLS,
            "nothing; `POST /account-requests` spreads them",
        ),
        Limit("users created", QUOTAS["user_creations_per_second"], lambda r: r, "Service Quotas"),
        Limit(
            "writes to the index `unfinished`",
            QUOTAS["partition_write_units_per_second"],
            lambda r: r * UNFINISHED_INDEX_WRITES,
            "nothing: the index has one key",
        ),
        Limit(
            "concurrent executions",
            QUOTAS["lambda_concurrent_executions"],
            lambda r: r * seconds_in_lambda,
            "Service Quotas",
        ),
        Limit("API requests", QUOTAS["api_requests_per_second"], lambda r: r * SIGN_UP_API_REQUESTS, "Service Quotas"),
        Limit("events put on the bus", QUOTAS["put_events_per_second"], lambda r: r, "Service Quotas"),
    ]


def sections(results: dict[str, Any]) -> list[str]:
    """The section of the page, from the measurements."""
    functions = {name: Functions(ROOM, result) for name, result in results[MEASURED].items()}
    return [
        "## A million sign-ups",
        cost_table({name: sign_ups_cost(each) for name, each in functions.items()}),
        "Where the limits are hit, in sign-ups a second:",
        limits_table(sign_up_limits(functions[OURS])),
    ]
