"""The resources of a deployed room."""

import uuid
from datetime import datetime, timedelta, timezone

from stack import Stack, stack_name


def physical_ids(stack: Stack, room: str) -> dict[str, str]:
    """The physical ids of the resources in a room's stack, nested in the root or beside it, by logical id."""
    pages = stack.client("cloudformation").get_paginator("list_stack_resources")

    def resources(name: str) -> dict[str, str]:
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages.paginate(StackName=name)
            for resource in page["StackResourceSummaries"]
        }

    nested = resources(stack.name).get(room.title())
    return resources(nested or stack_name(stack.name, room))


def rule_name(stack: Stack, room: str, rule: str) -> str:
    """The name of a rule. If the rule is on a bus of ours, its physical id begins with the name of the bus."""
    return physical_ids(stack, room)[rule].rpartition("|")[2]


def run_schedule_now(stack: Stack, room: str, schedule: str) -> str:
    """Invokes a schedule's target, with its input and role; returns the ARN of the new schedule that does so."""
    scheduler = stack.client("scheduler")
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    return scheduler.create_schedule(
        Name=f"once-{uuid.uuid4()}",
        ScheduleExpression=f"at({yesterday:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=scheduler.get_schedule(Name=physical_ids(stack, room)[schedule])["Target"],
    )["ScheduleArn"]
