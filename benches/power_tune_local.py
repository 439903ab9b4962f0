"""Models the duration and cost of a function with more or less memory: `make power-tune-local F=…`.

It models Lambda from a measurement on this machine: processor time is in proportion to memory, with one core at
1,769 MB and never more, as the functions have one thread. Services answer immediately. With --once it measures a single
invocation of the debug binary that `sam build` made, and writes nothing.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml
from chart import power_chart
from measuring import RESULTS, ROOT, ROUNDS, Function, Measured, build, debug_binaries, measure, start
from pricing import duration_at, invocation_cost

MEMORY_SIZES = [128, 256, 512, 1024, 1769, 3008]
"""Memory sizes in MB."""
WARM = 100
CHARTS = RESULTS / "power-tuning"
SPEED_WEIGHT = {"cost": 0.0, "balanced": 0.5, "speed": 1.0}
"""The weights of AWS Lambda Power Tuning."""


def environment(function: str) -> dict[str, str]:
    """The environment variables that the template gives the function. Their values are not used."""
    templates = [ROOT / "template.yaml", *ROOT.glob("stacks/*/template.yaml")]
    [properties] = [
        resource["Properties"]
        for template in templates
        for resource in cfn_yaml.load(str(template)).get("Resources", {}).values()
        if resource.get("Metadata", {}).get("BuildProperties", {}).get("Binary") == function
    ]
    return {name: "measured" for name in properties.get("Environment", {}).get("Variables", {})}


def model(measured: Measured) -> list[dict[str, Any]]:
    """The figures in the form of AWS Lambda Power Tuning: ms, and USD for an invocation."""
    stats = []
    for memory in MEMORY_SIZES:
        if measured.memory > memory * 1e6:
            continue
        seconds = duration_at(memory, measured.warm, measured.warm_cpu)
        price = invocation_cost(seconds, memory)
        stats.append({"value": memory, "averageDuration": seconds * 1e3, "averagePrice": price})
    return stats


def recommend(stats: list[dict[str, Any]], strategy: str) -> int:
    """The recommended memory in MB."""
    weight = SPEED_WEIGHT[strategy]
    slowest, dearest = (max(one[name] for one in stats) for name in ("averageDuration", "averagePrice"))

    def score(one: dict[str, Any]) -> tuple[float, int]:
        # Of two equally fast sizes, the smaller one.
        speed, cost = round(one["averageDuration"] / slowest, 3), one["averagePrice"] / dearest
        return weight * speed + (1 - weight) * cost, one["value"]

    return min(stats, key=score)["value"]


def tune(function: str, strategy: str, executables: dict[str, Path], rounds: int, warm: int, charts: Path) -> None:
    """Measures, prints the model, and writes figures and chart into the directory."""
    [event] = ROOT.glob(f"events/*/{function}.json")
    program = Function([str(executables[function])], 0)
    begin = start(function, program, environment(function), event, warm)
    stats = model(measure(executables["lambda-bench"], rounds, [begin])[function])
    power = recommend(stats, strategy)
    results = {"title": f"{function}, modelled: {strategy} recommends {power} MB", "power": power, "stats": stats}
    charts.mkdir(parents=True, exist_ok=True)
    (charts / f"{function}-local.json").write_text(json.dumps(results, indent=2) + "\n")
    power_chart(results, charts / f"{function}-local.svg")
    for one in stats:
        print(
            f"{one['value']:5} MB {one['averageDuration']:10.2f} ms {one['averagePrice'] * 1e6:8.3f} USD for a million"
        )
    print(results["title"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    once = parser.parse_args().once
    function, strategy = os.environ["F"], os.environ["STRATEGY"]
    if once:
        with tempfile.TemporaryDirectory() as charts:
            tune(function, strategy, debug_binaries(function), rounds=1, warm=1, charts=Path(charts))
        return
    tune(function, strategy, build(function), ROUNDS, WARM, CHARTS)
    print(f"Chart and figures are in {CHARTS.relative_to(ROOT)}/")


if __name__ == "__main__":
    main()
