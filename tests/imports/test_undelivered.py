"""If a file's import can't be started, the event is in the dead-letter queue, complete."""

import queues
from deployed import physical_ids
from faults import denied_to_role
from registrar import Imports
from stack import Stack


def test_an_event_that_can_not_start_an_import_is_in_the_dead_letter_queue(stack: Stack, local_cloud: None) -> None:
    role = physical_ids(stack, "imports")["ImportsRuleRole"]
    with denied_to_role(stack, role, "states:StartExecution"):
        key, _ = Imports(stack).put("").split(" ")
        queues.wait_for(
            stack,
            "FailedImportsQueueUrl",
            lambda event, attributes: event["detail"]["object"]["key"] == key,
            "the event is in the dead-letter queue",
        )
