"""Archives the items that the archive lacks: starts a reconciliation as a backfill, and follows it.

If a backfill is running, it follows that one. An interrupt ends only this program; the same command follows it again.
"""

import argparse
import json
import sys
import time
from datetime import datetime, timezone
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from stack import Stack, of_environment

NAME_PREFIX = "backfill-"
POLL_SECONDS = 2
STEPS = {
    "objects": "objects checked",
    "table": "appointments counted",
    "find": "appointments compared",
    "wait": "waiting for the stream",
    "confirm": "compared again",
    "repair": "changes archived",
}
FIGURES = {
    "missing": "changes were missing",
    "repaired": "of them archived",
    "restored_objects": "objects restored",
    "ledger_repairs": "ledger entries repaired",
}


class Backfill:
    """A reconciliation that ``make backfill`` has started."""

    def __init__(self, stack: Stack) -> None:
        self._states = stack.client("stepfunctions")
        self._s3 = stack.client("s3")
        self._bucket = stack.outputs["ArchiveBucketName"]
        self._workflow = stack.outputs["ReconcileArchiveArn"]
        self._execution = ""

    def find(self) -> str | None:
        """Finds the running backfill, and returns its name."""
        pages = self._states.get_paginator("list_executions").paginate(
            stateMachineArn=self._workflow, statusFilter="RUNNING"
        )
        for page in pages:
            for execution in page["executions"]:
                if execution["name"].startswith(NAME_PREFIX):
                    self._execution = execution["executionArn"]
                    return execution["name"]
        return None

    def start(self, grace_seconds: int | None) -> str:
        """Starts a backfill, and returns its name."""
        name = f"{NAME_PREFIX}{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%S}"
        order: dict[str, Any] = {"event_source": "registrar:backfill"}
        if grace_seconds is not None:
            order["grace_seconds"] = grace_seconds
        started = self._states.start_execution(stateMachineArn=self._workflow, name=name, input=json.dumps(order))
        self._execution = started["executionArn"]
        return name

    def execution(self) -> dict[str, Any]:
        return self._states.describe_execution(executionArn=self._execution)

    def waits(self) -> bool:
        """Whether the backfill waits for the grace period to end."""
        [last] = self._states.get_execution_history(executionArn=self._execution, reverseOrder=True, maxResults=1)[
            "events"
        ]
        return last["type"] == "WaitStateEntered"

    def progress(self, name: str) -> dict[str, Any] | None:
        """The progress that the function has stored; None before the first one."""
        try:
            stored = self._s3.get_object(Bucket=self._bucket, Key=f"reconciliation/{name}/progress.json")
        except self._s3.exceptions.NoSuchKey:
            return None
        return json.loads(stored["Body"].read())


def follow(backfill: Backfill, name: str, console: Console) -> dict[str, Any]:
    """Shows a bar for each step until the execution has ended, and returns the execution."""
    columns = TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int = 0, total: int | None = None) -> None:
            if step not in tasks:
                for task in bars.tasks:
                    bars.update(task.id, total=task.completed)
                tasks[step] = bars.add_task(STEPS[step], total=total)
            bars.update(tasks[step], completed=done, total=total)

        while True:
            execution = backfill.execution()
            if execution["status"] == "RUNNING" and backfill.waits():
                show("wait")
            elif now := backfill.progress(name):
                show(now["step"], now["done"], now["total"] if execution["status"] == "RUNNING" else now["done"])
            if execution["status"] != "RUNNING":
                return execution
            time.sleep(POLL_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="local, dev or prod")
    parser.add_argument("--grace-seconds", type=int, help="how long a change may take through the stream, in seconds")
    arguments = parser.parse_args()
    console = Console()
    backfill = Backfill(of_environment(arguments.environment))

    if name := backfill.find():
        console.print(f"Following {name}, which is running.")
    else:
        name = backfill.start(arguments.grace_seconds)
        console.print(f"Started {name}.")
    try:
        execution = follow(backfill, name, console)
    except KeyboardInterrupt:
        console.print("The backfill continues. The same command follows it again.")
        return 130

    seconds = (execution["stopDate"] - execution["startDate"]).total_seconds()
    table = Table(
        title=f"{execution['status']} after {seconds:.0f} s", title_justify="left", box=SIMPLE, show_header=False
    )
    for what, count in (backfill.progress(name) or {}).items():
        if what in FIGURES:
            table.add_row(FIGURES[what], str(count))
    console.print(table)
    if execution["status"] == "SUCCEEDED":
        console.print("The next backfill or nightly reconciliation archives what changed during this one.")
        return 0
    console.print(f"{execution.get('error', '')} {execution.get('cause', '')}".strip())
    console.print("The same command starts another backfill, which finds what is still missing.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
