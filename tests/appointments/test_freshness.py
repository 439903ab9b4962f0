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

    def items(self) -> list[dict[str, Any]]:
        """What the three tables have of the canary."""
        tables = ("SlotsTableName", "AppointmentsTableName", "StudentMonthsTableName")
        return [item for table in tables for item in self.stack.items(table) if {"S": "canary"} in item.values()]

    def leave(self, starts_at: str, is_booked: bool) -> None:
        """Leaves what an execution leaves that was stopped, before or after it booked."""
        key = {"advisor_id": {"S": "canary"}, "starts_at": {"S": starts_at}}
        student = {"student_id": {"S": "canary"}}
        items = {"SlotsTableName": key | (student if is_booked else {"free_at": {"S": starts_at}})}
        if is_booked:
            month = {"month": {"S": starts_at[:7]}, "booked": {"SS": [starts_at]}}
            items |= {"AppointmentsTableName": key | student, "StudentMonthsTableName": student | month}
        for table, item in items.items():
            self.dynamodb.put_item(TableName=self.stack.outputs[table], Item=item)

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
    month = f"{3000 + uuid.uuid4().int % 5000}-01"
    left = [f"{month}-{day}T00:00:00Z" for day in ("01", "02", "03")]
    for starts_at, is_booked in zip(left, (False, True, True), strict=True):
        canary.leave(starts_at, is_booked)

    before = sum(canary.freshness("SampleCount"))
    execution = canary.start_by_schedule()
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["seconds"] <= max(canary.freshness())
    assert sum(canary.freshness("SampleCount")) > before
    assert canary.items() == []
    rows = (
        archive_of(stack)
        .query(
            f"""SELECT starts_at::VARCHAR, string_agg(event_name, ' ' ORDER BY sequence_number::HUGEINT) FROM archive
        WHERE student_id = 'canary' AND event_time >= TIMESTAMPTZ '{execution["startDate"]}' - INTERVAL 1 SECOND
        GROUP BY starts_at"""
        )
        .fetchall()
    )
    days_left = {starts_at[:10] for starts_at in left}
    assert "INSERT REMOVE" in [changes for starts_at, changes in rows if starts_at[:10] not in days_left], rows


@pytest.mark.usefixtures("local_cloud")
def test_the_canary_fails_when_its_booking_does_not_reach_the_archive(stack: Stack, canary: Canary) -> None:
    with denied(stack, "archive-appointments", "s3:PutObject"):
        execution = canary.start(give_up_after_seconds=5)
    assert (execution["status"], execution.get("error")) == ("FAILED", "NotArrived")
    # It can't say how late the booking will be, only that it is late.
    assert max(canary.freshness()) >= 5
    assert canary.items() == []
