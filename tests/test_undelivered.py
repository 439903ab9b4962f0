"""An event that its rule can't deliver is in the dead-letter queue, whole."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from stack import Stack, wait_until
from test_accounts import account, wait_until_settled


def resource(stack: Stack, logical_id: str) -> str:
    details = {"StackName": stack.name, "LogicalResourceId": logical_id}
    return stack.client("cloudformation").describe_stack_resource(**details)["StackResourceDetail"][
        "PhysicalResourceId"
    ]


@contextmanager
def refused_by_queue(stack: Stack, rule: str) -> Iterator[None]:
    """The queue of notifications takes no more events of a rule, for as long as it takes."""
    sqs, url = stack.client("sqs"), stack.outputs["NotificationsQueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    statements = json.loads(policy)["Statement"]
    refusal = {
        "Effect": "Deny",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": statements[0]["Resource"],
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:events:*:*:rule/*{rule}*"}},
    }
    with_refusal = json.loads(policy) | {"Statement": [*statements, refusal]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(with_refusal)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


@contextmanager
def without_role(stack: Stack) -> Iterator[None]:
    """The rule of imports may not start the workflow, for as long as it takes."""
    iam, role = stack.client("iam"), resource(stack, "ImportsRuleRole")
    statement = {"Effect": "Deny", "Action": "states:StartExecution", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denied")


@contextmanager
def refused_by_function(stack: Stack) -> Iterator[None]:
    """The function that audits takes no events of its rule, for as long as it takes."""
    functions, name = stack.client("lambda"), stack.outputs["AuditArchiveFunctionName"]
    [statement] = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    try:
        yield
    finally:
        functions.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action=statement["Action"],
            Principal=statement["Principal"]["Service"],
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        )


def sign_up(stack: Stack, name: str) -> None:
    request = account(email=f"{name}@school.example")
    assert requests.post(f"{stack.api_url}/accounts", json=request, timeout=60).status_code == 201


def put(stack: Stack, bucket: str, key: str) -> None:
    stack.client("s3").put_object(Bucket=stack.outputs[bucket], Key=key, Body=b"")


@pytest.mark.parametrize(
    ("refused", "cause", "queue", "holds"),
    [
        (
            lambda stack: refused_by_queue(stack, "AccountCreatedRule"),
            sign_up,
            "FailedNotificationsQueueUrl",
            lambda event, name: event["detail-type"] == "AccountCreated",
        ),
        (
            lambda stack: refused_by_queue(stack, "EmailSentRule"),
            sign_up,
            "FailedNotificationsQueueUrl",
            lambda event, name: event["detail"]["mail"]["destination"] == [f"{name}@school.example"],
        ),
        (
            without_role,
            lambda stack, name: put(stack, "ImportsBucketName", f"imports/{name}.csv"),
            "FailedImportsQueueUrl",
            lambda event, name: event["detail"]["object"]["key"] == f"imports/{name}.csv",
        ),
        (
            refused_by_function,
            lambda stack, name: put(stack, "ArchiveBucketName", f"appointments/dt=2026-11-20/{name}"),
            "FailedAuditsQueueUrl",
            lambda event, name: event["detail"]["object"]["key"] == f"appointments/dt=2026-11-20/{name}",
        ),
    ],
    ids=["account-created", "email-sent", "imports", "audits"],
)
def test_an_event_that_its_target_refuses_is_in_the_dead_letter_queue(
    stack: Stack,
    local_cloud: None,
    refused: Callable[[Stack], Any],
    cause: Callable[[Stack, str], None],
    queue: str,
    holds: Callable[[dict[str, Any], str], bool],
) -> None:
    sqs, url, name = stack.client("sqs"), stack.outputs[queue], str(uuid.uuid4())

    def has_come() -> bool:
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        for message in received:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return any(holds(json.loads(message["Body"]), name) for message in received)

    try:
        with refused(stack):
            cause(stack, name)
            wait_until(has_come, "the event is in the dead-letter queue")
    finally:
        stack.client("s3").delete_object(
            Bucket=stack.outputs["ArchiveBucketName"], Key=f"appointments/dt=2026-11-20/{name}"
        )
    wait_until_settled(stack)
