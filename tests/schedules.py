"""What schedules do at their time, at once."""

import uuid
from datetime import datetime, timedelta, timezone

from stack import Stack


def run_now(stack: Stack, logical_id: str) -> str:
    """Invokes the target of a schedule of the template, with its input and role; returns the schedule that does."""
    scheduler = stack.client("scheduler")
    resource = {"StackName": stack.name, "LogicalResourceId": logical_id}
    described = stack.client("cloudformation").describe_stack_resource(**resource)["StackResourceDetail"]
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    return scheduler.create_schedule(
        Name=f"once-{uuid.uuid4()}",
        ScheduleExpression=f"at({yesterday:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=scheduler.get_schedule(Name=described["PhysicalResourceId"])["Target"],
    )["ScheduleArn"]
