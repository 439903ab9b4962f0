"""Starts the workflow, shows how far it is, and prints where the page is: `make insights`."""

import json
import sys
import time
from collections.abc import Iterator

from stack import Stack, of_environment

# The states that take time, in their order.
STEPS = {
    "ExportLedger": "export the ledger",
    "Compact": "compact closed days",
    "Publish": "publish them",
    "Check": "check the archive",
    "Report": "count appointments",
    "Render": "make the page",
}
WIDTH = 30
SECONDS_BETWEEN_LOOKS = 1
# A link ends earlier if the credentials do.
LINK_SECONDS = 12 * 60 * 60


def progress(insights: Stack, execution: str) -> Iterator[str]:
    """The steps that the execution enters, as they come."""
    workflows, seen = insights.client("stepfunctions"), 0
    while True:
        status = workflows.describe_execution(executionArn=execution)["status"]
        pages = workflows.get_paginator("get_execution_history").paginate(executionArn=execution)
        names = [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
        entered = [name for name in names if name in STEPS]
        yield from entered[seen:]
        seen = len(entered)
        if status != "RUNNING":
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def show(done: int, text: str) -> None:
    filled = WIDTH * done // len(STEPS)
    bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {text:24}"
    # A terminal keeps one line; a log gets a line for each step.
    print(f"\r{bar}" if sys.stdout.isatty() else bar, end="" if sys.stdout.isatty() else "\n", flush=True)


def main() -> None:
    environment = sys.argv[1]
    insights = of_environment(environment).beside("insights")
    if insights is None:
        how = "up ROOM=insights" if environment == "local" else f"deploy ROOM=insights ENV={environment}"
        sys.exit(f"The room is not deployed: make {how}")
    workflows = insights.client("stepfunctions")
    execution = workflows.start_execution(stateMachineArn=insights.outputs["MakeInsightsArn"])["executionArn"]
    for name in progress(insights, execution):
        show(list(STEPS).index(name), STEPS[name])
    ended = workflows.describe_execution(executionArn=execution)
    if ended["status"] != "SUCCEEDED":
        print()
        sys.exit(f"{ended['status']}: {ended.get('error', '')}\n{ended.get('cause', '')}")
    show(len(STEPS), "done")
    output = json.loads(ended["output"])
    bucket = insights.outputs["InsightsBucketName"]
    print(f"\n{output['differences']} differences, {output['problems']} problems")
    print(f"Answers    s3://{bucket}/{output['page'].rpartition('/')[0]}/")
    place = {"Bucket": bucket, "Key": output["page"]}
    link = insights.client("s3").generate_presigned_url("get_object", Params=place, ExpiresIn=LINK_SECONDS)
    print(f"Page       {link}")


if __name__ == "__main__":
    main()
