"""A workflow fails with a clear error if its input has another form."""

from hostile import NO_OBJECT, assert_workflow_refuses
from stack import Stack


def test_the_canary_refuses_what_is_no_input_for_it(stack: Stack) -> None:
    inputs = [*NO_OBJECT, {"give_up_after_seconds": None}, {"give_up_after_seconds": "5"}]
    assert_workflow_refuses(stack, "CheckFreshness", inputs, "NotAnInput")


def test_the_reconciliation_refuses_what_is_no_input_for_it(stack: Stack) -> None:
    inputs = [
        {"grace_seconds": None},
        {"grace_seconds": "60"},
        {"grace_seconds": -1},
        {"grace_seconds": [60]},
        {"event_source": "aws:dynamodb"},
        {"event_source": None},
        {"event_source": {}},
    ]
    assert_workflow_refuses(stack, "ReconcileArchive", inputs, "NotAnInput")
