"""If the accounts' schedule can't start its target, the event is in the queue of failed deliveries."""

import queues
from deployed import physical_ids, run_schedule_now
from faults import denied_to_role
from stack import Stack


def test_a_schedule_that_can_not_start_its_workflow_says_so(stack: Stack, local_cloud: None) -> None:
    role = physical_ids(stack, "accounts")["FinishAccountsScheduleRole"]
    with denied_to_role(stack, role, "states:StartExecution"):
        schedule = run_schedule_now(stack, "accounts", "FinishAccountsSchedule")
        queues.wait_for(
            stack,
            "FailedDeliveriesQueueUrl",
            lambda event, attributes: attributes.get("SCHEDULE_ARN") == schedule,
            "it is in the queue of failed deliveries",
        )
