"""Repairs the damage of a failed test of the appointments, for tests/permissions.py."""

from pathlib import Path

import pytest
import reconciliations
import room_modules
from stack import Stack


def clean_up(stack: Stack, item: pytest.Item) -> None:
    """Repairs the archive, and enters missing objects into the ledger."""
    if item.path.stem == "test_reconciliation":
        repair_archive(stack)
    sources = room_modules.load(Path(__file__).parents[2] / "scripts", "redrive")["appointments"].sources(stack)
    [audits] = [source for source in sources if source.name == "failed audits"]
    list(audits.send(audits.look()))


def repair_archive(stack: Stack) -> None:
    """A reconciliation repairs the damage that the test did before it failed."""
    states, functions, s3 = (stack.client(service) for service in ("stepfunctions", "lambda", "s3"))
    running = {"stateMachineArn": stack.outputs["ReconcileArchiveArn"], "statusFilter": "RUNNING"}
    for execution in states.list_executions(**running)["executions"]:
        states.stop_execution(executionArn=execution["executionArn"])
    for key in stack.objects("", "FailedBatchesBucketName"):
        s3.delete_object(Bucket=stack.outputs["FailedBatchesBucketName"], Key=key)
    name, grace = stack.outputs["ReconcileArchiveFunctionName"], reconciliations.GRACE_SECONDS
    timeout = functions.get_function_configuration(FunctionName=name)["Timeout"]
    functions.update_function_configuration(FunctionName=name, Timeout=grace)
    reconciliations.wait_for_end(stack, reconciliations.start(stack, grace_seconds=grace))
    functions.update_function_configuration(FunctionName=name, Timeout=timeout)
