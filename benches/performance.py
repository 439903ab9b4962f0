"""Compares the functions with the usual alternatives: `make bench` measures them.

Writes tables, charts and the figures of the cost model into benches/results. With --once it measures our functions only
once, with the debug binaries that `cargo test` and `sam build` made, and writes nothing.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import chart
from measuring import (
    BENCHES,
    OURS,
    RESULTS,
    ROOT,
    ROUNDS,
    Case,
    Function,
    Measured,
    build,
    cases,
    debug_binaries,
    deflated,
    install_peers,
    measure,
    provenance,
    rust,
    start,
)
from pricing import duration_at

STARTS = 20
"""Starts of each function, for its cold start."""
MEMORY_SIZES = [128, 256, 512, 1024, 1769]
"""Memory sizes in MB."""
POWERTOOLS = "Python, Powertools"
"""The peer that every function has."""
Batches = dict[str, dict[int, Measured]]
"""Warm invocations, by function and by the number of records."""


def measure_events(harness: Path, case: Case, functions: dict[str, Function], events: Path, rounds: int) -> Batches:
    def warm(name: str, records: int) -> int:
        # A peer can need fifteen seconds for the largest batch.
        return max(10 if name == OURS else 1, min(50, 2_000 // records)) if rounds > 1 else 1

    starts = [
        case.start(f"{name}/{records}", function, events / f"{case.name}-{records}.json", warm(name, records))
        for records in case.records
        for name, function in functions.items()
    ]
    measured = measure(harness, rounds, starts)
    return {name: {records: measured[f"{name}/{records}"] for records in case.records} for name in functions}


# ---- The page


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """With three significant figures."""
    digits = max(0, 3 - len(str(int(value)))) if value >= 1 else 3
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def batches_section(case: Case, batches: Batches, directory: Path) -> list[str]:
    head = ["function", *(f"{records:,}" for records in case.records)]

    def rows(value: Any) -> list[list[str]]:
        return [
            [name, *(value(records, by_size[records]) for records in case.records)] for name, by_size in batches.items()
        ]

    section = [f"## {case.binary}", "CPU per record, µs, by the number of records in the event:"]
    if len(case.records) > 1:
        picture = directory / f"{case.name}-cpu.svg"
        chart.lines(
            picture,
            case.binary,
            "records in the event",
            "CPU per record, µs",
            {name: {n: it.warm_cpu / n * 1e6 for n, it in by_size.items()} for name, by_size in batches.items()},
        )
        section.append(f"![CPU per record by the size of the event]({picture.name})")
    section.append(table(head, rows(lambda records, it: number(it.warm_cpu / records * 1e6))))
    section += ["Time per event, ms:", table(head, rows(lambda _, it: number(it.warm * 1e3)))]
    section += ["Peak memory, MB:", table(head, rows(lambda _, it: number(it.memory / 1e6)))]
    return section


def starts_section(functions: dict[str, Function], starts: dict[str, Measured], directory: Path) -> list[str]:
    picture = directory / "cold-starts.svg"
    chart.stacked_bars(
        picture,
        "From the start of the process to its first answer",
        "ms",
        ["init", "first event"],
        {name: [it.init * 1e3, it.first * 1e3] for name, it in starts.items()},
    )
    head = ["function", "init, ms", "first event, ms", "together", "CPU, ms", "peak memory, MB", "package, MB"]
    rows = [
        [
            name,
            *(number(seconds * 1e3) for seconds in (it.init, it.first, it.cold, it.init_cpu + it.first_cpu)),
            number(it.memory / 1e6),
            number(functions[name].zipped / 1e6),
        ]
        for name, it in starts.items()
    ]
    return [
        "## Cold starts",
        "The first event has one record, and its calls go over new connections; the empty function makes none.",
        f"![From the start of the process to its first answer]({picture.name})",
        table(head, rows),
    ]


class Goals:
    """Goals, as ratios within a measurement, or in a unit."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []

    def add(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """The value is to be at most the limit."""
        shown = f"1/{number(1 / value)}" if limit < 1 else number(value) + unit
        wanted = f"1/{number(1 / limit)}" if limit < 1 else number(limit) + unit
        self.rows.append([what, f"at most {wanted}", shown, "yes" if value <= limit else "**no**"])

    def section(self) -> list[str]:
        return ["## Goals", table(["", "goal", "measured", "met"], self.rows)]


def goals_section(
    measured: list[tuple[Case, Batches]],
    starts: dict[str, Measured],
    packages: dict[str, int],
    parses: dict[str, float],
) -> list[str]:
    goals = Goals()
    for case, batches in measured:
        for records, limits in case.most_cpu.items():
            for peer, limit in limits.items():
                if peer in batches:
                    against = f"{counted(case, records)}: CPU against {peer}"
                    goals.add(against, batches[OURS][records].warm_cpu / batches[peer][records].warm_cpu, limit)
        largest = case.records[-1]
        ours, what = batches[OURS][largest], counted(case, largest)
        if case.name in parses:
            against = f"{what}: CPU against parsing the event with simd-json"
            goals.add(against, ours.warm_cpu / parses[case.name], 4, " times")
        if case.most_memory:
            goals.add(f"{what}: peak memory", ours.memory / 1e6, case.most_memory / 1e6, " MB")
        cold = starts[f"{case.name}: {OURS}"].cold
        if peer := starts.get(f"{case.name}: {POWERTOOLS}"):
            goals.add(f"{case.name}: cold start against {POWERTOOLS}", cold / peer.cold, 1 / 8)
        against = f"{case.name}: cold start against an empty function in Rust"
        goals.add(against, cold / starts["empty: Rust"].cold, 2, " times")
    for workflow in dict.fromkeys(case.workflow for case, _ in measured if case.workflow):
        steps = [by_peer for case, by_peer in measured if case.workflow == workflow and POWERTOOLS in by_peer]
        cpu = {name: sum(step[name][1].warm_cpu for step in steps) for name in (OURS, POWERTOOLS)}
        if steps:
            against = f"{workflow}: CPU of its {len(steps)} functions against {POWERTOOLS}"
            goals.add(against, cpu[OURS] / cpu[POWERTOOLS], 1 / 10)
    largest = max(packages, key=lambda name: packages[name])
    goals.add(f"largest package ({largest})", packages[largest] / 1e6, 4, " MB")
    return goals.section()


def counted(case: Case, records: int) -> str:
    return f"{case.name}, {records:,} {'record' if records == 1 else 'records'}"


def durations_section(measured: list[tuple[Case, Batches]]) -> list[str]:
    def cell(memory: int, it: Measured) -> str:
        return number(duration_at(memory, it.warm, it.warm_cpu) * 1e3) if it.memory < memory * 1e6 else "-"

    rows = [
        [
            f"{counted(case, records)}: {name}",
            *(cell(memory, by_size[records]) for memory in MEMORY_SIZES),
        ]
        for case, batches in measured
        for records in dict.fromkeys([case.records[0], case.records[-1]])
        for name, by_size in batches.items()
    ]
    return [
        "## With less memory",
        "A warm invocation, ms; a dash is where the memory doesn't suffice. How it is worked out: docs/performance.md.",
        table(["", *(f"{memory:,} MB" for memory in MEMORY_SIZES)], rows),
    ]


def figures(batches: Batches, starts: dict[str, Measured], case: Case) -> dict[str, Any]:
    """The figures for the cost model, by function: µs, ms and MB."""
    return {
        name: {
            "memory_mb": {size: round(it.memory / 1e6, 1) for size, it in by_size.items()},
            "cpu_us": {size: round(it.warm_cpu * 1e6) for size, it in by_size.items()},
            "wall_us": {size: round(it.warm * 1e6) for size, it in by_size.items()},
            "calls": {size: it.calls for size, it in by_size.items()},
            "init_ms": round(starts[f"{case.name}: {name}"].init * 1e3, 1),
            "first_ms": round(starts[f"{case.name}: {name}"].first * 1e3, 1),
        }
        for name, by_size in batches.items()
    }


# ---- The measurements


def report(executables: dict[str, Path], packages: Path | None, results: Path) -> None:
    """Measures, and writes into the directory. Without packages, it measures our functions alone, and once."""
    measured_cases = [case for case in cases() if case.binary in executables]
    functions = {
        case.name: {OURS: rust(executables[case.binary], **case.tuning)} | (case.peers(packages) if packages else {})
        for case in measured_cases
    }
    harness, rounds = executables["lambda-bench"], ROUNDS if packages else 1
    by_start = {f"{name}: {it}": function for name, them in functions.items() for it, function in them.items()}
    by_start["empty: Rust"] = rust(executables["empty"])
    measured, parses = [], {}
    with tempfile.TemporaryDirectory() as directory:
        events = Path(directory)
        (events / "empty.json").write_text("{}")
        for case in measured_cases:
            for records in case.records:
                (events / f"{case.name}-{records}.json").write_bytes(case.event(records))
            largest = case.records[-1]
            if largest > 1:
                command = [executables["parse"], events / f"{case.name}-{largest}.json"]
                parses[case.name] = float(subprocess.check_output(command)) / 1e6
        print("==> Starting the functions", flush=True)
        cold = [
            case.start(f"{case.name}: {name}", it, events / f"{case.name}-{case.records[0]}.json", 0)
            for case in measured_cases
            for name, it in functions[case.name].items()
        ]
        cold.append(start("empty: Rust", by_start["empty: Rust"], {}, events / "empty.json", 0))
        starts = measure(harness, STARTS if packages else 1, cold)
        for case in measured_cases:
            print(f"==> Measuring {case.binary}", flush=True)
            measured.append((case, measure_events(harness, case, functions[case.name], events, rounds)))
    handlers = [handler.name for handler in sorted((ROOT / "handlers").glob("*/*")) if handler.name in executables]
    sizes = {name: deflated([executables[name]]) for name in handlers}
    made = provenance() if packages else {"date": "-", "commit": "-"}
    sections = [
        "# Measured functions",
        f"`make bench` wrote this page on {made['date']}, at commit {made['commit']}. What is measured, and how: "
        "[performance.md](../../docs/performance.md).",
        *goals_section(measured, starts, sizes, parses),
        *(part for case, batches in measured for part in batches_section(case, batches, results)),
        *starts_section(by_start, starts, results),
        "## Packages",
        table(["function", "package, MB"], [[name, number(size / 1e6)] for name, size in sizes.items()]),
        *durations_section(measured),
    ]
    (results / "functions.md").write_text("\n\n".join(sections) + "\n")
    kept = {"made": made} | {case.name: figures(batches, starts, case) for case, batches in measured}
    (results / "functions.json").write_text(json.dumps(kept, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    begin = time.monotonic()
    if parser.parse_args().once:
        with tempfile.TemporaryDirectory() as results:
            report(debug_binaries(*(case.binary for case in cases())), None, Path(results))
            print((Path(results) / "functions.md").read_text())
        return
    print("==> Building the functions", flush=True)
    executables = build()
    RESULTS.mkdir(exist_ok=True)
    report(executables, install_peers(BENCHES), RESULTS)
    print(f"==> {RESULTS.relative_to(ROOT)} is written, after {time.monotonic() - begin:.0f} seconds")


if __name__ == "__main__":
    main()
