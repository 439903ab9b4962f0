"""If a rule or a schedule of the archive can't deliver an event, the event is in a dead-letter queue, complete."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import pytest
import queues
from botocore.exceptions import ClientError
from deployed import physical_ids, run_schedule_now
from faults import closed_to_rule, denied_to_role
from stack import Stack, wait_until


@pytest.mark.parametrize(
    ("refused", "bucket", "prefix", "queue"),
    [
        (
            lambda stack: closed_to_rule(stack, "audit-archive"),
            "ArchiveBucketName",
            "appointments/dt=2026-11-20/",
            "FailedAuditsQueueUrl",
        ),
        (
            lambda stack: queues.closed_to_rule(stack, "FailedBatchesQueueUrl", "appointments", "FailedBatchesRule"),
            "FailedBatchesBucketName",
            "aws/lambda/",
            "FailedDeliveriesQueueUrl",
        ),
    ],
    ids=["audits", "batches"],
)
def test_an_event_that_its_target_refuses_is_in_the_dead_letter_queue(
    stack: Stack,
    local_cloud: None,
    refused: Callable[[Stack], AbstractContextManager[None]],
    bucket: str,
    prefix: str,
    queue: str,
) -> None:
    s3, name, key = stack.client("s3"), stack.outputs[bucket], f"{prefix}{uuid.uuid4()}"
    try:
        with refused(stack):
            s3.put_object(Bucket=name, Key=key, Body=b"")
            queues.wait_for(
                stack,
                queue,
                lambda event, attributes: event.get("detail", {}).get("object", {}).get("key") == key,
                "the event is in the dead-letter queue",
            )
    finally:
        s3.delete_object(Bucket=name, Key=key)


@pytest.mark.parametrize("workflow", ["CheckFreshness", "ReconcileArchive"])
def test_a_schedule_that_can_not_start_its_workflow_says_so(stack: Stack, local_cloud: None, workflow: str) -> None:
    role = physical_ids(stack, "appointments")[f"{workflow}ScheduleRole"]
    with denied_to_role(stack, role, "states:StartExecution"):
        schedule = run_schedule_now(stack, "appointments", f"{workflow}Schedule")
        queues.wait_for(
            stack,
            "FailedDeliveriesQueueUrl",
            lambda event, attributes: attributes.get("SCHEDULE_ARN") == schedule,
            "it is in the queue of failed deliveries",
        )


@pytest.mark.parametrize("workflow", ["CheckFreshness", "ReconcileArchive"])
def test_a_schedule_starts_its_workflow(stack: Stack, local_cloud: None, workflow: str) -> None:
    states, arn = stack.client("stepfunctions"), stack.outputs[f"{workflow}Arn"]

    def executions() -> set[str]:
        return {execution["executionArn"] for execution in states.list_executions(stateMachineArn=arn)["executions"]}

    before = executions()
    run_schedule_now(stack, "appointments", f"{workflow}Schedule")
    wait_until(lambda: executions() > before, "it has been started")
    for execution in executions() - before:
        # The canary may have ended by then, which the local cloud refuses to stop.
        with suppress(ClientError):
            states.stop_execution(executionArn=execution)
