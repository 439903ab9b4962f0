"""The logs of a deployed stack."""

import json
import re
from typing import Any

from stack import Stack

# All tests use addresses in these domains; the names and dates are those of ``recognisable_account``.
PERSONAL = re.compile(r"@[a-z0-9-]+\.example|Zoltán|Featherstonehaugh|1987-06-05|münchen", re.IGNORECASE)


def logged(stack: Stack) -> dict[str, list[str]]:
    """The messages of each log group of a stack."""
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


def of_function(stack: Stack, function: str) -> list[str]:
    return logged(stack)[f"/aws/lambda/{stack.name}-{function}"]


def assert_nothing_personal_is_logged(stack: Stack) -> None:
    found = {group: [m for m in messages if PERSONAL.search(m)] for group, messages in logged(stack).items()}
    assert {group: messages[:3] for group, messages in found.items() if messages} == {}


def counts(stack: Stack, function: str, alarm: dict[str, Any]) -> bool:
    """Whether a function has logged a value of the metric that an alarm watches."""
    blobs = [json.loads(message) for message in of_function(stack, function) if '"_aws"' in message]
    return any(
        directive["Namespace"] == alarm["Namespace"]
        and [[one["Name"] for one in alarm["Dimensions"]]] == directive["Dimensions"]
        and alarm["MetricName"] in [metric["Name"] for metric in directive["Metrics"]]
        and blob["service"] == stack.name
        for blob in blobs
        for directive in blob["_aws"]["CloudWatchMetrics"]
    )
