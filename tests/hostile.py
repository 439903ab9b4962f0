"""Inputs that none of our clients would send.

`make test` sends a few dozen to each entrance, always the same; `make hostile` sends others, for longer.
"""

import json
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from stack import Stack, wait_until

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))

hostile = settings(
    max_examples=EXAMPLES or 10,
    database=None,
    deadline=None,
    derandomize=not EXAMPLES,
    # Shrinking a failing input would take minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# Characters that can break a template, a path, a query, a header, a log line or a spreadsheet.
SPECIAL = "\"\\'`${}#[]()<>%~/.,;:&?=+-@!^|* \t\r\n\0\x7f\x85\u2028\ud83d\U0001f600e\u0301\u202e\ufeff"
TEXT = st.text(max_size=50) | st.text(SPECIAL, max_size=50) | st.builds("x".__mul__, st.sampled_from([600, 20_000]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(TEXT, values, max_size=4),
    max_leaves=8,
)

# Inputs that a workflow can get instead of an object.
NO_OBJECT: list[Any] = [None, 1, "x", [], {}]


def nearly(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A good input with some fields replaced, or with additional fields."""
    return st.builds(good.__or__, st.dictionaries(st.sampled_from(sorted(good)) | TEXT, JSON, max_size=3))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def assert_workflow_refuses(stack: Stack, workflow: str, inputs: list[Any], error: str) -> None:
    """A workflow fails with this error for each of these inputs, in its first state."""
    states, arn = stack.client("stepfunctions"), stack.outputs[f"{workflow}Arn"]
    executions = [states.start_execution(stateMachineArn=arn, input=json.dumps(one))["executionArn"] for one in inputs]

    def all_ended() -> bool:
        return all(states.describe_execution(executionArn=arn)["status"] != "RUNNING" for arn in executions)

    wait_until(all_ended, "the executions have ended")
    for execution in executions:
        ended = states.describe_execution(executionArn=execution)
        assert (ended["status"], ended.get("error")) == ("FAILED", error), ended
