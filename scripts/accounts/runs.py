"""Shows the newest executions of the account workflow, state by state. For AWS, use Step Functions' console."""

import json
import sys
from typing import Any

from stack import of_environment

RUNS = 5


def states(history: list[dict[str, Any]]) -> list[tuple[str, float, int, str]]:
    """Each state with its duration in milliseconds, the number of its failed attempts, and its output."""
    passed = []
    entered, failures = history[0]["timestamp"], 0
    for event in history:
        if event["type"].endswith("StateEntered"):
            entered, failures = event["timestamp"], 0
        elif event["type"] == "TaskFailed":
            failures += 1
        elif event["type"].endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            milliseconds = (event["timestamp"] - entered).total_seconds() * 1000
            passed.append((details["name"], milliseconds, failures, details["output"]))
    return passed


def main() -> None:
    stack = of_environment(sys.argv[1])
    workflows = stack.client("stepfunctions")
    runs = workflows.list_executions(stateMachineArn=stack.outputs["SchoolAccountArn"], maxResults=RUNS)["executions"]
    if not runs:
        print("The workflow has no execution yet: make up opens an account.")
    for run in reversed(runs):
        print(f"\n{run['startDate']:%Y-%m-%d %H:%M:%S}  {run['status']}  {run['name']}")
        history = workflows.get_execution_history(executionArn=run["executionArn"], maxResults=1000)["events"]
        for name, milliseconds, failures, output in states(history):
            retried = f"  after {failures} failed attempts" if failures else ""
            shown = json.dumps(json.loads(output), ensure_ascii=False)[:140]
            print(f"  {name:<16}{milliseconds:>7.0f} ms  {shown}{retried}")


if __name__ == "__main__":
    main()
