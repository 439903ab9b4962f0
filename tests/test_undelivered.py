"""What a rule or a schedule can't deliver is in the dead-letter queue, whole."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from faults import denied_to_role
from schedules import run_now
from stack import Stack, wait_until
from test_accounts import account, wait_until_settled


def resource(stack: Stack, logical_id: str) -> str:
    details = {"StackName": stack.name, "LogicalResourceId": logical_id}
    return stack.client("cloudformation").describe_stack_resource(**details)["StackResourceDetail"][
        "PhysicalResourceId"
    ]


@contextmanager
def refused_by_queue(stack: Stack, queue: str, rule: str) -> Iterator[None]:
    """A queue takes no more events of a rule, for as long as it takes."""
    sqs, url = stack.client("sqs"), stack.outputs[queue]
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


def arrived(stack: Stack, queue: str, holds: Callable[[dict[str, Any], dict[str, Any]], bool]) -> Callable[[], bool]:
    """Whether a message of this body and these attributes has come, all of which are taken out of the queue."""
    sqs, url = stack.client("sqs"), stack.outputs[queue]

    def has_arrived() -> bool:
        received = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        ).get("Messages", [])
        for message in received:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return any(
            holds(
                json.loads(message["Body"]),
                {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()},
            )
            for message in received
        )

    return has_arrived


@pytest.mark.parametrize(
    ("refused", "cause", "queue", "holds"),
    [
        (
            lambda stack: refused_by_queue(stack, "NotificationsQueueUrl", "AccountCreatedRule"),
            sign_up,
            "FailedNotificationsQueueUrl",
            lambda event, name: event["detail-type"] == "AccountCreated",
        ),
        (
            lambda stack: refused_by_queue(stack, "NotificationsQueueUrl", "EmailSentRule"),
            sign_up,
            "FailedNotificationsQueueUrl",
            lambda event, name: event["detail"]["mail"]["destination"] == [f"{name}@school.example"],
        ),
        (
            lambda stack: denied_to_role(stack, resource(stack, "ImportsRuleRole"), "states:StartExecution"),
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
        (
            lambda stack: refused_by_queue(stack, "FailedBatchesQueueUrl", "FailedBatchesRule"),
            lambda stack, name: put(stack, "FailedBatchesBucketName", f"aws/lambda/{name}"),
            "FailedDeliveriesQueueUrl",
            lambda event, name: event.get("detail", {})["object"]["key"] == f"aws/lambda/{name}",
        ),
    ],
    ids=["account-created", "email-sent", "imports", "audits", "batches"],
)
def test_an_event_that_its_target_refuses_is_in_the_dead_letter_queue(
    stack: Stack,
    local_cloud: None,
    refused: Callable[[Stack], Any],
    cause: Callable[[Stack, str], None],
    queue: str,
    holds: Callable[[dict[str, Any], str], bool],
) -> None:
    name = str(uuid.uuid4())
    try:
        with refused(stack):
            cause(stack, name)
            has_arrived = arrived(stack, queue, lambda event, attributes: holds(event, name))
            wait_until(has_arrived, "the event is in the dead-letter queue")
    finally:
        for bucket, prefix in (
            ("ArchiveBucketName", "appointments/dt=2026-11-20"),
            ("FailedBatchesBucketName", "aws/lambda"),
        ):
            stack.client("s3").delete_object(Bucket=stack.outputs[bucket], Key=f"{prefix}/{name}")
    wait_until_settled(stack)


@pytest.mark.parametrize("workflow", ["FinishAccounts", "CheckFreshness", "ReconcileArchive"])
def test_a_schedule_that_can_not_start_its_workflow_says_so(stack: Stack, local_cloud: None, workflow: str) -> None:
    with denied_to_role(stack, resource(stack, f"{workflow}ScheduleRole"), "states:StartExecution"):
        schedule = run_now(stack, f"{workflow}Schedule")
        has_arrived = arrived(
            stack, "FailedDeliveriesQueueUrl", lambda event, attributes: attributes.get("SCHEDULE_ARN") == schedule
        )
        wait_until(has_arrived, "it is in the queue of failed deliveries")


@pytest.mark.parametrize("workflow", ["CheckFreshness", "ReconcileArchive"])
def test_a_schedule_starts_its_workflow(stack: Stack, local_cloud: None, workflow: str) -> None:
    states, arn = stack.client("stepfunctions"), stack.outputs[f"{workflow}Arn"]

    def executions() -> set[str]:
        return {execution["executionArn"] for execution in states.list_executions(stateMachineArn=arn)["executions"]}

    before = executions()
    run_now(stack, f"{workflow}Schedule")
    wait_until(lambda: executions() > before, "it has been started")
    for execution in executions() - before:
        # The canary may have ended by then, which the local cloud refuses to stop.
        with suppress(ClientError):
            states.stop_execution(executionArn=execution)
