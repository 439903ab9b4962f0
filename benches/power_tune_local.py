"""What a function would take and cost with more or less memory: `make power-tune-local F=…`.

It models Lambda from what the function takes here: processor time is in proportion to memory, one core at 1,769 MB and
never more, as the functions have one thread. Services answer at once.
"""

import json
import os
import sys
from typing import Any

from cfnlint.decode import cfn_yaml
from chart import power_chart
from cost import duration_at, invocation_cost
from performance import ROOT, ROUNDS, Measured, build, measure, rust, start

MEMORY_SIZES = [128, 256, 512, 1024, 1769, 3008]
"""MB."""
WARM = 100
RESULTS = ROOT / "benches/power-tuning"
SPEED_WEIGHT = {"cost": 0.0, "balanced": 0.5, "speed": 1.0}
"""As AWS Lambda Power Tuning weighs them."""


def environment(function: str) -> dict[str, str]:
    """What the template gives the function: its names, as nobody here looks at the values."""
    resources = cfn_yaml.load(str(ROOT / "template.yaml"))["Resources"].values()
    [properties] = [
        resource["Properties"]
        for resource in resources
        if resource.get("Metadata", {}).get("BuildProperties", {}).get("Binary") == function
    ]
    return {name: "measured" for name in properties.get("Environment", {}).get("Variables", {})}


def model(measured: Measured) -> list[dict[str, Any]]:
    """In the form of AWS Lambda Power Tuning: ms, and USD for an invocation."""
    stats = []
    for memory in MEMORY_SIZES:
        if measured.memory > memory * 1e6:
            continue
        seconds = duration_at(memory, measured.warm, measured.warm_cpu)
        price = invocation_cost(seconds, memory)
        stats.append({"value": memory, "averageDuration": seconds * 1e3, "averagePrice": price})
    return stats


def recommend(stats: list[dict[str, Any]], strategy: str) -> int:
    """MB."""
    weight = SPEED_WEIGHT[strategy]
    slowest, dearest = (max(one[name] for one in stats) for name in ("averageDuration", "averagePrice"))

    def score(one: dict[str, Any]) -> tuple[float, int]:
        # Of two as fast, the smaller.
        speed, cost = round(one["averageDuration"] / slowest, 3), one["averagePrice"] / dearest
        return weight * speed + (1 - weight) * cost, one["value"]

    return min(stats, key=score)["value"]


def main() -> None:
    function, strategy = os.environ["F"], os.environ["STRATEGY"]
    event = ROOT / f"events/{function}.json"
    if not event.is_file():
        sys.exit(
            f"there is no {event.relative_to(ROOT)}; F is one of {sorted(file.stem for file in event.parent.iterdir())}"
        )
    executables = build(function)
    begin = start(function, rust(executables[function]), environment(function), event, WARM)
    measured = measure(executables["lambda-bench"], ROUNDS, [begin])[function]
    stats = model(measured)
    power = recommend(stats, strategy)
    results = {"title": f"{function}, modelled: {strategy} recommends {power} MB", "power": power, "stats": stats}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{function}-local.json").write_text(json.dumps(results, indent=2) + "\n")
    power_chart(results, RESULTS / f"{function}-local.svg")
    for one in stats:
        print(
            f"{one['value']:5} MB {one['averageDuration']:10.2f} ms {one['averagePrice'] * 1e6:8.3f} USD for a million"
        )
    print(f"{results['title']}; chart and figures are in {RESULTS.relative_to(ROOT)}/")


if __name__ == "__main__":
    main()
