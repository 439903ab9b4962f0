"""What is logged in prod holds no personal data: of all that the tests before this one did, and of what failed here."""

import json
import re
import uuid
from typing import Any

import pytest
import requests
from faults import denied
from stack import Stack, wait_until
from test_template import ALARMS, RESOURCES

# Every test uses addresses of these domains; the names and dates are those of the requests below.
PERSONAL = re.compile(r"@[a-z0-9-]+\.example|Zoltán|Featherstonehaugh|1987-06-05|münchen", re.IGNORECASE)

ACCOUNT_FUNCTIONS = ["validate-account", "check-account", "create-account", "notify-student"]
ACCOUNT_FUNCTIONS += ["send-notification", "start-account-workflow"]


def logged(stack: Stack) -> dict[str, list[str]]:
    logs = stack.client("logs")
    return {
        group["logGroupName"]: [
            event["message"]
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for event in page["events"]
        ]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
        if stack.name in group["logGroupName"]
    }


def account(**fields: str) -> dict[str, str]:
    return {
        "email": f"zoltan-{uuid.uuid4()}@school.example",
        "given_name": "Zoltán",
        "family_name": "Featherstonehaugh",
        "date_of_birth": "1987-06-05",
        "programme": "history",
    } | fields


def ask(stack: Stack, request: dict[str, Any], route: str = "/accounts") -> int:
    return requests.post(f"{stack.api_url}{route}", json=request, timeout=60).status_code


@pytest.mark.last
def test_no_log_names_a_student(stack: Stack, local_cloud: None) -> None:
    # Every way that a request can end.
    request = account()
    assert ask(stack, request) == 201
    assert ask(stack, request) == 409
    assert ask(stack, account(given_name="Zoltán <zoltan@school.example>")) == 422
    assert ask(stack, account(programme="x" * 501)) == 400
    for function, action in [
        ("check-account", "dynamodb:GetItem"),
        ("create-account", "dynamodb:*"),
        ("create-account", "cognito-idp:*"),
        ("notify-student", "events:PutEvents"),
    ]:
        with denied(stack, function, action):
            assert ask(stack, account()) == 503
    with denied(stack, "send-notification", "ses:SendEmail"):
        assert ask(stack, account(), "/account-requests") == 202

        group = f"/aws/lambda/{stack.name}-send-notification"

        def has_failed() -> bool:
            return any("SES: AccessDenied" in message for message in logged(stack)[group])

        wait_until(has_failed, "sending has failed")

    messages = logged(stack)
    assert all(messages[f"/aws/lambda/{stack.name}-{function}"] for function in ACCOUNT_FUNCTIONS)
    found = {group: [m for m in entries if PERSONAL.search(m)] for group, entries in messages.items()}
    assert {group: entries[:3] for group, entries in found.items() if entries} == {}


@pytest.mark.last
@pytest.mark.parametrize(
    ("function", "action", "metric"),
    [
        ("start-account-workflow", "states:StartSyncExecution", "OldestAccountRequestHandedBack"),
        ("send-notification", "ses:SendEmail", "OldestNotificationHandedBack"),
    ],
)
def test_what_a_queue_gets_back_moves_the_metric_of_its_alarm(
    stack: Stack, local_cloud: None, function: str, action: str, metric: str
) -> None:
    [alarm] = [one["Properties"] for one in ALARMS.values() if one["Properties"]["MetricName"] == metric]

    def is_counted() -> bool:
        blobs = [json.loads(m) for m in logged(stack)[f"/aws/lambda/{stack.name}-{function}"] if '"_aws"' in m]
        return any(
            directive["Namespace"] == alarm["Namespace"]
            and [[one["Name"] for one in alarm["Dimensions"]]] == directive["Dimensions"]
            and [{"Name": metric, "Unit": "Seconds"}] == directive["Metrics"]
            and blob["service"] == stack.name
            for blob in blobs
            for directive in blob["_aws"]["CloudWatchMetrics"]
        )

    with denied(stack, function, action):
        assert ask(stack, account(), "/account-requests") == 202
        wait_until(is_counted, "the metric is in the log")


# What Lambda itself writes: "Log formats, JSON system logs" in the AWS Lambda Developer Guide.
PLATFORM_KEYS = {
    "type",
    "record.requestId",
    "record.status",
    "record.metrics.durationMs",
    "record.metrics.initDurationMs",
    "record.metrics.maxMemoryUsedMB",
    "record.metrics.memorySizeMB",
}
QUERY_WORDS = {"and", "as", "asc", "by", "coalesce", "count", "desc", "fields", "filter", "like", "limit", "max", "or"}
QUERY_WORDS |= {"sort", "stats"}


@pytest.mark.last
def test_the_saved_queries_ask_for_keys_that_are_written(stack: Stack, local_cloud: None) -> None:
    # Each kind of line has been written by now, but that of quarantine.
    no_appointment = {"advisor_id": {"S": f"advisor-{uuid.uuid4()}"}, "starts_at": {"S": "never"}}
    stack.client("dynamodb").put_item(TableName=stack.outputs["AppointmentsTableName"], Item=no_appointment)
    group = f"/aws/lambda/{stack.name}-archive-appointments"
    wait_until(lambda: any("quarantined" in m for m in logged(stack)[group]), "a record is in quarantine")

    access_log = RESOURCES["Api"]["Properties"]["AccessLogSetting"]["Format"]
    written = PLATFORM_KEYS | json.loads(access_log).keys()
    for message in (message for messages in logged(stack).values() for message in messages):
        if message.startswith("{"):
            written |= json.loads(message).keys()
    for query in stack.client("logs").describe_query_definitions()["queryDefinitions"]:
        text = re.sub(r'"[^"]*"|/[^/]*/|@\w+', "", query["queryString"])
        aliases = set(re.findall(r" as (\w+)", text))
        asked = set(re.findall(r"[a-zA-Z_][\w.]*", text)) - QUERY_WORDS - aliases
        assert asked <= written, query["name"]
