"""Measures a deployed function at several memory sizes with AWS Lambda Power Tuning; keeps the figures and a chart."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from chart import power_chart
from stack import NAME, Stack

PROJECT = Path(__file__).parent.parent
RESULTS = PROJECT / "benches" / "results" / "power-tuning"
# MB; 1769 is one virtual CPU, 3008 the most that a new account may have.
MEMORY_SIZES = [128, 256, 512, 1024, 1769, 3008]
INVOCATIONS = 50
# Power Tuning ends earlier: it gives the invocations three attempts of five minutes.
SECONDS_TO_TUNE = 1800
POLL_SECONDS = 5


def tune(states: Any, tuner_arn: str, function_arn: str, event: Any, strategy: str) -> dict[str, Any]:
    """What Power Tuning has measured; ends the program when it fails or takes too long."""
    tuning = {
        "lambdaARN": function_arn,
        "payload": event,
        "powerValues": MEMORY_SIZES,
        "num": INVOCATIONS,
        "strategy": strategy,
        "includeOutputResults": True,
        # Events can hold personal data.
        "disablePayloadLogs": True,
    }
    execution_arn = states.start_execution(stateMachineArn=tuner_arn, input=json.dumps(tuning))["executionArn"]
    deadline = time.monotonic() + SECONDS_TO_TUNE
    while (execution := states.describe_execution(executionArn=execution_arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            # Not stopped: it deletes the versions that it has made when it ends.
            sys.exit(f"It goes on, but longer than {SECONDS_TO_TUNE} s: {execution_arn}")
        time.sleep(POLL_SECONDS)
    output = json.loads(execution.get("output", "{}"))
    # After an error Power Tuning cleans up and succeeds, with nothing.
    if "power" not in output:
        history = states.get_execution_history(executionArn=execution_arn, reverseOrder=True)["events"]
        causes = [one["lambdaFunctionFailedEventDetails"] for one in history if one["type"] == "LambdaFunctionFailed"]
        sys.exit(f"It failed: {json.dumps(causes)}\n{execution_arn}")
    return output


def keep(directory: Path, function: str, strategy: str, output: dict[str, Any]) -> dict[str, Any]:
    """Writes the figures and the chart, and gives the figures."""
    results = {"title": f"{function}: {strategy} recommends {output['power']} MB"} | output
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{function}.json").write_text(json.dumps(results, indent=2) + "\n")
    power_chart(results, directory / f"{function}.svg")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment")
    parser.add_argument("function")
    parser.add_argument("strategy", choices=["balanced", "cost", "speed"])
    arguments = parser.parse_args()
    tuner = Stack(f"{NAME}-power-tuning-{arguments.environment}")
    name = f"{NAME}-{arguments.environment}-{arguments.function}"
    functions = tuner.client("lambda")
    before = functions.get_function_configuration(FunctionName=name)
    [event_file] = PROJECT.glob(f"events/*/{arguments.function}.json")
    event = json.loads(event_file.read_text())
    print(f"{name}: {INVOCATIONS} times at {', '.join(map(str, MEMORY_SIZES))} MB", flush=True)
    try:
        output = tune(
            tuner.client("stepfunctions"),
            tuner.outputs["StateMachineArn"],
            before["FunctionArn"],
            event,
            arguments.strategy,
        )
    finally:
        after = functions.get_function_configuration(FunctionName=name)
        if after["MemorySize"] != before["MemorySize"]:
            print(f"{name} has {after['MemorySize']} MB now, and had {before['MemorySize']} before", file=sys.stderr)
    results = keep(RESULTS, arguments.function, arguments.strategy, output)
    for one in results["stats"]:
        price = one["averagePrice"] * 1e6
        print(f"{one['value']:>6} MB {one['averageDuration']:10.2f} ms {price:10.3f} USD for a million")
    print(f"{results['title']}\n{RESULTS.relative_to(PROJECT)}/{arguments.function}.svg")


if __name__ == "__main__":
    main()
