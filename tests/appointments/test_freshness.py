"""The canary measures how long a booking takes to the archive, and reports one that does not arrive."""

import json
import uuid
from typing import Any

import pytest
from archived import archive_of
from deployed import run_schedule_now
from faults import denied
from stack import Stack, wait_until


class Canary:
    """The workflow, its metrics and its items."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.states = stack.client("stepfunctions")
        self.dynamodb = stack.client("dynamodb")
        self.table = stack.outputs["AppointmentsTableName"]

    def start(self, give_up_after_seconds: int) -> dict[str, Any]:
        """Starts an execution by hand, and waits for it."""
        execution = self.states.start_execution(
            stateMachineArn=self.stack.outputs["CheckFreshnessArn"],
            input=json.dumps({"give_up_after_seconds": give_up_after_seconds}),
        )
        return self.ended(execution["executionArn"])

    def start_by_schedule(self) -> dict[str, Any]:
        """Waits for the execution that the schedule starts."""
        before = self.executions()
        run_schedule_now(self.stack, "appointments", "CheckFreshnessSchedule")
        wait_until(lambda: self.executions() > before, "the schedule starts the canary")
        return self.ended((self.executions() - before).pop())

    def executions(self) -> set[str]:
        pages = self.states.get_paginator("list_executions").paginate(
            stateMachineArn=self.stack.outputs["CheckFreshnessArn"]
        )
        return {execution["executionArn"] for page in pages for execution in page["executions"]}

    def ended(self, execution: str) -> dict[str, Any]:
        described: dict[str, Any] = {}

        def has_ended() -> bool:
            described.update(self.states.describe_execution(executionArn=execution))
            return described["status"] != "RUNNING"

        wait_until(has_ended, "the canary has ended")
        return described

    def slots(self) -> list[str]:
        items = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="advisor_id = :canary",
            ExpressionAttributeValues={":canary": {"S": "canary"}},
        )["Items"]
        return [item["starts_at"]["S"] for item in items]

    def freshness(self, statistic: str = "Maximum") -> list[float]:
        """The values that the alarms get, by minute."""
        metrics = self.stack.client("cloudwatch").get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "freshness",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "Registrar",
                            "MetricName": "ArchiveFreshness",
                            "Dimensions": [{"Name": "service", "Value": self.stack.name}],
                        },
                        "Period": 60,
                        "Stat": statistic,
                    },
                }
            ],
            StartTime="2000-01-01T00:00:00Z",
            EndTime="2100-01-01T00:00:00Z",
        )
        return metrics["MetricDataResults"][0]["Values"]


@pytest.fixture(scope="module")
def canary(stack: Stack) -> Canary:
    return Canary(stack)


def test_a_booking_of_the_canary_is_in_the_archive_when_it_succeeds(stack: Stack, canary: Canary) -> None:
    # A stopped execution left this item behind.
    left = f"{3000 + uuid.uuid4().int % 5000}-01-01T00:00:00Z"
    key = {"advisor_id": {"S": "canary"}, "starts_at": {"S": left}}
    canary.dynamodb.put_item(TableName=canary.table, Item=key | {"student_id": {"S": "canary"}})

    before = sum(canary.freshness("SampleCount"))
    execution = canary.start_by_schedule()
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["seconds"] <= max(canary.freshness())
    assert sum(canary.freshness("SampleCount")) > before
    assert canary.slots() == []
    rows = (
        archive_of(stack)
        .query(
            f"""SELECT starts_at::VARCHAR, string_agg(event_name, ' ' ORDER BY sequence_number::HUGEINT) FROM archive
        WHERE student_id = 'canary' AND event_time >= TIMESTAMPTZ '{execution["startDate"]}' - INTERVAL 1 SECOND
        GROUP BY starts_at"""
        )
        .fetchall()
    )
    assert "INSERT REMOVE" in [changes for starts_at, changes in rows if not starts_at.startswith(left[:10])], rows


@pytest.mark.usefixtures("local_cloud")
def test_the_canary_fails_when_its_booking_does_not_reach_the_archive(stack: Stack, canary: Canary) -> None:
    with denied(stack, "archive-appointments", "s3:PutObject"):
        execution = canary.start(give_up_after_seconds=5)
    assert (execution["status"], execution.get("error")) == ("FAILED", "NotArrived")
    # It can't say how late the booking will be, only that it is late.
    assert max(canary.freshness()) >= 5
    assert canary.slots() == []
