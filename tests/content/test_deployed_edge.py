"""The edge function as its own command deploys it, with the keys of the deployed user pool."""

import json
from typing import Any

import boto3
import lambda_edge
import pytest
from stack import Stack, Student


@pytest.fixture
def version(local_cloud: None, stack: Stack) -> str:
    return lambda_edge.deploy(stack.name, "local")


def answer(version: str, **headers: str) -> dict[str, Any]:
    listed = {name: [{"key": name, "value": value}] for name, value in headers.items()}
    event = {"Records": [{"cf": {"request": {"method": "GET", "uri": "/members/", "headers": listed}}}]}
    functions = boto3.client("lambda", region_name=lambda_edge.REGION)
    return json.load(functions.invoke(FunctionName=version, Payload=json.dumps(event))["Payload"])


def test_it_knows_the_students_of_the_user_pool(version: str, student: Student) -> None:
    assert answer(version)["status"] == "401"
    # The token is valid, and says nothing about a fee.
    assert answer(version, authorization=f"Bearer {student.token}")["status"] == "403"


def test_an_unchanged_function_gets_no_new_version(stack: Stack, version: str) -> None:
    assert version.rpartition(":")[2].isdigit()
    assert lambda_edge.deploy(stack.name, "local") == version


def test_each_region_keeps_logs_only_as_long_as_the_stack_says(stack: Stack, version: str) -> None:
    for region in ("us-east-1", "eu-central-1"):
        groups = boto3.client("logs", region_name=region).describe_log_groups(
            logGroupNamePrefix=f"/{stack.name}/admit-reader"
        )["logGroups"]
        assert [group["retentionInDays"] for group in groups] == [30]
