"""The logs of the functions after all other tests. The stack is deployed as in prod."""

import json
import re

import pytest
from log_lines import assert_nothing_personal_is_logged, logged
from rooms import DEPLOYED
from stack import Stack

# Lines that Lambda itself writes: "Log formats, JSON system logs" in the AWS Lambda Developer Guide.
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
def test_no_log_names_a_student(stack: Stack, local_cloud: None) -> None:
    assert_nothing_personal_is_logged(stack)


@pytest.mark.last
def test_the_saved_queries_ask_for_keys_that_are_written(stack: Stack, local_cloud: None) -> None:
    written = set(PLATFORM_KEYS)
    for room in DEPLOYED:
        for api in room.of_type("AWS::Serverless::Api").values():
            written |= json.loads(api["Properties"]["AccessLogSetting"]["Format"]).keys()
    for message in (message for messages in logged(stack).values() for message in messages):
        if message.startswith("{"):
            written |= json.loads(message).keys()
    for query in stack.client("logs").describe_query_definitions()["queryDefinitions"]:
        text = re.sub(r'"[^"]*"|/[^/]*/|@\w+', "", query["queryString"])
        aliases = set(re.findall(r" as (\w+)", text))
        asked = set(re.findall(r"[a-zA-Z_][\w.]*", text)) - QUERY_WORDS - aliases
        assert asked <= written, query["name"]
