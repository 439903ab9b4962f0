"""Prices and limits of services, and durations of functions in Lambda.

Prices and quotas come from prices.json and limits.json; memory sizes, windows and throttles from the templates.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from measuring import BENCHES, ROOT

PRICE_LIST = json.loads((BENCHES / "prices.json").read_text())["prices"]
LIMITS = json.loads((BENCHES / "limits.json").read_text())

PRICES: dict[str, float] = {name: price["usd"] / price["per"] for name, price in PRICE_LIST.items()}
QUOTAS: dict[str, float] = {name: quota["value"] for name, quota in LIMITS["quotas"].items()}
ASSUMED: dict[str, float] = {name: assumption["value"] for name, assumption in LIMITS["assumptions"].items()}

COLD_STARTS = 0.01
"""Part of the invocations that are cold starts."""
VCPU_MB = 1769
"""Memory in MB for which Lambda gives one virtual CPU."""
GB = 1024**3
RATES = [10**exponent for exponent in range(7)]
MILLION = 1_000_000


@cache
def template(room: str) -> str:
    """The templates of the room and of the root."""
    files = [ROOT / "stacks" / room / "template.yaml", ROOT / "template.yaml"]
    return "\n".join(file.read_text() for file in files if file.exists())


@cache
def setting(room: str, resource: str, name: str) -> str:
    """A setting of a resource, or the default of a parameter."""
    found = re.search(rf"^  {resource}:\n(?:    .*\n)*?    .*\b{name}: ([\w.:=]+)", template(room), re.MULTILINE)
    return found[1]


def throttle(room: str, path: str) -> float:
    """The throttle of each method, in requests per second."""
    pattern = rf"ResourcePath: {re.escape(path)}\n(?: .*\n)*? +ThrottlingRateLimit: (\d+)"
    return float(re.search(pattern, template(room))[1])


def default(parameter: str) -> str:
    """The default of a parameter of the root, or else of a stack beside it."""
    templates = [ROOT / "template.yaml", *sorted(ROOT.glob("stacks/*/template.yaml"))]
    text = "\n".join(template.read_text() for template in templates)
    return re.search(rf"^  {parameter}:(?:\n    .*)*?[^\n]*?\bDefault: (\w+)", text, re.MULTILINE)[1]


ARCHITECTURE = default("Architecture")


# ---- Functions


def between(measured: dict[str, float], records: float) -> float:
    """Interpolates linearly between the two measurements around `records`."""
    points = sorted((float(count), value) for count, value in measured.items())
    for (low, at_low), (high, at_high) in pairwise(points):
        if records <= high:
            return at_low + (at_high - at_low) * max(0, records - low) / (high - low)
    return points[-1][1]


def memory_size(result: dict[str, Any], configured: int) -> int:
    """Memory in MB: as configured or, if the function needs more, the next multiple of 64."""
    return max(configured, math.ceil(max(result["memory_mb"].values()) / 64) * 64)


def duration_at(memory_mb: int, wall: float, cpu: float) -> float:
    """Converts a duration on a whole core to one in Lambda, in seconds: processor time is in proportion to memory."""
    return max(0.0, wall - cpu) + cpu / min(1, memory_mb / VCPU_MB)


def seconds(result: dict[str, Any], records: float, memory_mb: int, service_seconds: float, calls: int = 1) -> float:
    """Seconds of a warm invocation in Lambda: `calls` measured calls, and services that take `service_seconds`."""
    cpu, wall = (between(result[key], records) * calls / 1e6 for key in ("cpu_us", "wall_us"))
    return service_seconds + duration_at(memory_mb, wall, cpu)


def invocation_cost(duration: float, memory_mb: int) -> float:
    """USD; `duration` in seconds, billed by the millisecond."""
    billed = math.ceil(round(duration * 1000, 6)) / 1000
    return PRICES["lambda_request"] + memory_mb / 1024 * billed * PRICES[f"lambda_gb_second_{ARCHITECTURE}"]


@dataclass(frozen=True)
class Functions:
    """The functions of a room, all in one language. One measured function stands for each of their calls."""

    room: str
    result: dict[str, Any]

    def memory_mb(self, function: str) -> int:
        return memory_size(self.result, int(setting(self.room, function, "MemorySize")))

    def seconds(self, function: str, services: tuple[str, ...]) -> float:
        """Seconds of an invocation that calls these services, one after the other."""
        waits = sum(ASSUMED[f"{service}_seconds"] for service in services)
        return seconds(self.result, 1, self.memory_mb(function), waits, calls=max(1, len(services)))

    def cost(self, function: str, services: tuple[str, ...]) -> float:
        """USD of such an invocation."""
        duration = self.seconds(function, services) + cold_seconds(self.result)
        return invocation_cost(duration, self.memory_mb(function))


def cold_seconds(result: dict[str, Any]) -> float:
    """Seconds that cold starts add to the average invocation."""
    return COLD_STARTS * result["init_ms"] / 1000


def hit_at(demand: Callable[[float], float], quota: float, most: float = RATES[-1]) -> float | None:
    """The rate at which a growing demand reaches the quota, if that is below `most`."""
    if demand(most) <= quota:
        return None
    low, high = 0.0, float(most)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if demand(middle) <= quota else (low, middle)
    return low


def traces(requests: float) -> float:
    """Traces per second: X-Ray takes the first request of each second, and a part of the others."""
    return min(requests, 1 + ASSUMED["traced_share"] * max(0, requests - 1))


# ---- Tables


@dataclass(frozen=True)
class Limit:
    name: str
    quota: float
    demand: Callable[[float], float]
    """The demand at a rate per second, in the quota's unit."""
    moved_by: str


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]], texts: int = 1) -> str:
    """A Markdown table. The first `texts` columns are texts, the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]) + "\n"


def cost_table(costs: dict[str, dict[str, float]]) -> str:
    parts = next(iter(costs.values()))
    rows = [[part, *(f"{cost[part]:,.2f}" for cost in costs.values())] for part in parts]
    rows.append(["**all**", *(f"**{sum(cost.values()):,.2f}**" for cost in costs.values())])
    return table(["USD", *costs], rows)


def limits_table(limits: list[Limit]) -> str:
    """The limits in the order in which they are reached."""

    hits = {limit: hit_at(limit.demand, limit.quota) for limit in limits}
    rows = [
        [limit.name, limit.moved_by, number(limit.quota), "never" if rate is None else number(rate)]
        for limit, rate in sorted(hits.items(), key=lambda hit: math.inf if hit[1] is None else hit[1])
    ]
    return table(["limit", "moved by", "quota", "hit at"], rows, texts=2)


def provenance() -> str:
    entries = PRICE_LIST | LIMITS["quotas"]
    dates = sorted(entry["as_of"] for entry in entries.values() if entry["as_of"])
    unverified = [f"`{name}`" for name, entry in entries.items() if not entry["verified"]]
    undated = [f"`{name}`" for name, entry in entries.items() if not entry["as_of"]]
    return (
        f"Prices and quotas are those of us-east-1, found between {dates[0]} and {dates[-1]}.\n"
        f"Not verified: {', '.join(unverified) or 'none'}.\n"
        f"From pages without a date: {', '.join(undated) or 'none'}.\n"
    )
