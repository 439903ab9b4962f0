"""The functions beside those that people would write instead: `make bench` measures them for docs/performance.md.

`benches/results.json` keeps what the cost model needs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any

import chart
from cost import duration_at
from stream_event import stream_event

ROOT = Path(__file__).parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = ROOT / "benches/peers"
PAGE = ROOT / "docs/performance.md"
RESULTS = ROOT / "benches/results.json"

RECORDS = [1, 10, 100, 1_000, 10_000]
STARTS = 20
"""Of each function for its cold start."""
ROUNDS = 5
"""Of each function with each size of batch."""
ARCHIVE = {"ARCHIVE_BUCKET": "archive"}
ARCHIVED = {"answer": {"batchItemFailures": []}}
ACCOUNTS = {"ACCOUNTS_TABLE": "accounts"}
NO_ACCOUNT = {"answer": {"outcome": "NONE"}}


@dataclass
class Function:
    """A function of ours or a peer, ready to be started."""

    command: list[str]
    zipped: int
    """Bytes of its package."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Measured:
    """What its starts took: medians, seconds and bytes."""

    init: float
    init_cpu: float
    first: float
    first_cpu: float
    warm: float
    warm_cpu: float
    calls: int
    memory: int

    @classmethod
    def of(cls, starts: list[dict[str, Any]]) -> "Measured":
        warm = [usage for start in starts for usage in start["warm"]] or [start["first"] for start in starts]

        def seconds(usages: list[dict[str, int]], name: str) -> float:
            return median(usage[name] for usage in usages) / 1e6

        inits, firsts = ([start[part] for start in starts] for part in ("init", "first"))
        return cls(
            *(seconds(usages, name) for usages in (inits, firsts, warm) for name in ("wall_us", "cpu_us")),
            calls=warm[0]["calls"],
            memory=max(start["peak_memory_bytes"] for start in starts),
        )

    @property
    def cold(self) -> float:
        """From its start to its first answer."""
        return self.init + self.first


def run(command: list[str | Path], **options: Any) -> None:
    subprocess.run(command, cwd=ROOT, check=True, **options)


def deflated(files: list[Path]) -> int:
    """Bytes that files take in a package, whose entries are compressed one by one."""
    return sum(len(zlib.compress(file.read_bytes(), 9)) for file in files if file.is_file())


def build(*names: str) -> dict[str, Path]:
    """The harness and the named functions, all if none is named: as `sam build` compiles them, but for this machine."""
    command = ["cargo", "build", "--release", "--locked"]
    run([*command, "--bins", *(argument for name in names for argument in ("-p", name))])
    run([*command, "--bins", "-p", "lambda-bench"])
    return {file.name: file for file in (TARGET / "release").iterdir() if file.is_file() and not file.suffix}


def rust(executable: Path) -> Function:
    return Function([str(executable)], deflated([executable]))


def python(handler: str, packages: Path, *names: str) -> Function:
    """A handler of `peers`, with the named distributions out of `packages`."""
    taken = [it for it in distributions(path=[str(packages)]) if it.name.replace("_", "-") in names]
    assert len(taken) == len(names), f"not all of {names} are in {packages}"
    files = [Path(str(file.locate())) for distribution in taken for file in distribution.files or ()]
    environment = {
        "LAMBDA_TASK_ROOT": str(PEERS),
        "PYTHONPATH": os.pathsep.join([str(PEERS), str(packages)]),
        "POWERTOOLS_SERVICE_NAME": "archive",
        "POWERTOOLS_METRICS_NAMESPACE": "Registrar",
    }
    # Without the environment that make runs this in, which has much more in it.
    interpreter = str(getattr(sys, "_base_executable", sys.executable))
    size = deflated([file for file in files if file.suffix != ".pyc"])
    return Function([interpreter, "-m", "awslambdaric", f"{handler}.handler"], size, environment)


def node(handler: str) -> Function:
    modules = PEERS / "node/node_modules"
    # Lambda's runtime has the SDK.
    files = [
        file
        for file in modules.rglob("*")
        if not {"@aws-sdk", "@smithy"} & set(file.relative_to(modules).parts[:1]) and file.suffix in (".js", ".json")
    ]
    environment = {"POWERTOOLS_SERVICE_NAME": "archive", "POWERTOOLS_METRICS_NAMESPACE": "Registrar"}
    return Function(["node", str(PEERS / "node/bootstrap.mjs"), handler], deflated(files), environment)


def measure(harness: Path, rounds: int, starts: list[dict[str, Any]]) -> dict[str, Measured]:
    """By the starts' names."""
    with tempfile.NamedTemporaryFile("w") as plan:
        json.dump({"rounds": rounds, "starts": starts}, plan)
        plan.flush()
        output = subprocess.run([harness, plan.name], stdout=subprocess.PIPE, check=True).stdout
    by_name = defaultdict(list)
    for start in json.loads(output):
        by_name[start["name"]].append(start)
    return {name: Measured.of(starts) for name, starts in by_name.items()}


def start(
    name: str, function: Function, variables: dict[str, str], event: Path, warm: int, **expected: Any
) -> dict[str, Any]:
    """One line of the harness's plan; `answer` is what is expected, if anything is."""
    environment = function.environment | variables
    return {"name": name, "command": function.command, "environment": environment} | {
        "event": str(event),
        "warm": warm,
        **expected,
    }


def measure_batches(harness: Path, functions: dict[str, Function], events: Path) -> dict[str, dict[int, Measured]]:
    def warm(name: str, records: int) -> int:
        # A peer needs a quarter of a minute for the largest batch.
        return max(1, min(50, 2_000 // records)) if name != "Registrar" else max(10, min(50, 2_000 // records))

    measured = measure(
        harness,
        ROUNDS,
        [
            start(f"{name}/{records}", function, ARCHIVE, events / f"{records}.json", warm(name, records), **ARCHIVED)
            for records in RECORDS
            for name, function in functions.items()
        ],
    )
    return {name: {records: measured[f"{name}/{records}"] for records in RECORDS} for name in functions}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def write(name: str, text: str) -> None:
    """Into the page, between the marks of this name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = PAGE.read_text().split(begin)
    PAGE.write_text(before + begin + text + end + rest.split(end)[1])


def number(value: float) -> str:
    """Three figures that matter."""
    digits = max(0, 3 - len(str(int(value)))) if value >= 1 else 3
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def write_batches(batches: dict[str, dict[int, Measured]]) -> None:
    head = ["function", *(f"{records:,}" for records in RECORDS)]

    def rows(value: Any) -> list[list[str]]:
        return [[name, *(value(records, by_size[records]) for records in RECORDS)] for name, by_size in batches.items()]

    picture = "\n![CPU per record by the size of the batch](images/archive-cpu.svg)\n"
    write("CPU per record", picture + table(head, rows(lambda records, it: number(it.warm_cpu / records * 1e6))))
    write("time per batch", table(head, rows(lambda _, it: number(it.warm * 1e3))))
    write("peak memory", table(head, rows(lambda _, it: number(it.memory / 1e6))))
    chart.lines(
        ROOT / "docs/images/archive-cpu.svg",
        "Archiving a change of the stream",
        "records in the batch",
        "CPU per record, µs",
        {name: {n: it.warm_cpu / n * 1e6 for n, it in by_size.items()} for name, by_size in batches.items()},
    )


def write_starts(functions: dict[str, Function], starts: dict[str, Measured]) -> None:
    head = ["function", "init, ms", "first event, ms", "together", "CPU, ms", "peak memory, MB", "package, MB"]
    picture = "\n![From the start of the process to its first answer](images/cold-starts.svg)\n"
    write(
        "cold starts",
        picture
        + table(
            head,
            [
                [
                    name,
                    *(number(seconds * 1e3) for seconds in (it.init, it.first, it.cold, it.init_cpu + it.first_cpu)),
                    number(it.memory / 1e6),
                    number(functions[name].zipped / 1e6),
                ]
                for name, it in starts.items()
            ],
        ),
    )
    chart.stacked_bars(
        ROOT / "docs/images/cold-starts.svg",
        "From the start of the process to its first answer",
        "ms",
        ["init", "first event"],
        {name: [it.init * 1e3, it.first * 1e3] for name, it in starts.items()},
    )


def write_goals(
    batches: dict[str, dict[int, Measured]], starts: dict[str, Measured], packages: dict[str, int], parse: float
) -> None:
    """What was to be reached, as ratios within this run."""
    ours = batches["Registrar"][10_000]
    cold = starts["archive: Registrar"].cold
    rows = []

    def goal(what: str, value: float, limit: float, unit: str = "") -> None:
        shown = f"1/{number(1 / value)}" if limit < 1 else number(value) + unit
        wanted = f"1/{number(1 / limit)}" if limit < 1 else number(limit) + unit
        rows.append([what, f"at most {wanted}", shown, "yes" if value <= limit else "**no**"])

    for peer, limit in (("Python, textbook", 1 / 500), ("Python, Powertools", 1 / 500), ("Python, pyarrow", 1 / 10)):
        ratio = ours.warm_cpu / batches[peer][10_000].warm_cpu
        goal(f"archive, 10,000 records: CPU against {peer}", ratio, limit)
    goal("archive, 10,000 records: CPU against parsing the event with simd-json", ours.warm_cpu / parse, 4, " times")
    goal("cold start against Python, Powertools", cold / starts["archive: Python, Powertools"].cold, 1 / 8)
    goal("cold start against an empty function in Rust", cold / starts["empty: Rust"].cold, 1.5, " times")
    goal("archive, 10,000 records: peak memory", ours.memory / 1e6, 64, " MB")
    largest = max(packages, key=lambda name: packages[name])
    goal(f"largest package ({largest})", packages[largest] / 1e6, 5, " MB")
    write("goals", table(["", "goal", "measured", "met"], rows))


def write_durations(batches: dict[str, dict[int, Measured]]) -> None:
    sizes = [128, 256, 512, 1024, 1769]
    cases = {
        f"archive, {records:,} {'record' if records == 1 else 'records'}: {name}": by_size[records]
        for records in (1, 10_000)
        for name, by_size in batches.items()
    }

    def cell(memory: int, it: Measured) -> str:
        return number(duration_at(memory, it.warm, it.warm_cpu) * 1e3) if it.memory < memory * 1e6 else "-"

    rows = [[name, *(cell(memory, it) for memory in sizes)] for name, it in cases.items()]
    write("durations", table(["", *(f"{memory:,} MB" for memory in sizes)], rows))


def keep(batches: dict[str, dict[int, Measured]], starts: dict[str, Measured], checks: dict[str, Measured]) -> None:
    """Figures for the cost model: µs, ms and MB."""

    def of(warm: dict[int, Measured], start: Measured) -> dict[str, Any]:
        return {
            "memory_mb": {size: round(it.memory / 1e6, 1) for size, it in warm.items()},
            "cpu_us": {size: round(it.warm_cpu * 1e6) for size, it in warm.items()},
            "wall_us": {size: round(it.warm * 1e6) for size, it in warm.items()},
            "calls": {size: it.calls for size, it in warm.items()},
            "init_ms": round(start.init * 1e3, 1),
            "first_ms": round(start.first * 1e3, 1),
        }

    results = {
        "archive": {name: of(by_size, starts[f"archive: {name}"]) for name, by_size in batches.items()},
        "check-account": {name: of({1: it}, starts[f"check-account: {name}"]) for name, it in checks.items()},
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def main() -> None:
    begin = time.monotonic()
    print("==> Building the functions", flush=True)
    executables = build()
    packages = TARGET / "bench/python"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", packages]
    run([*pip, "-r", PEERS / "requirements.txt", "awslambdaric", "boto3", "-c", ROOT / "constraints.txt"])
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", PEERS / "node"])
    powertools = ["aws-lambda-powertools", "jmespath", "typing-extensions"]
    traced = [*powertools, "aws-xray-sdk", "wrapt"]
    archives = {
        "Registrar": rust(executables["archive-appointments"]),
        "Python, textbook": python("archive_textbook", packages),
        "Python, Powertools": python("archive_powertools", packages, *powertools),
        "Python, pyarrow": python("archive_pyarrow", packages, "pyarrow"),
        "Node, Powertools": node("archive.mjs"),
    }
    checks = {
        "Registrar": rust(executables["check-account"]),
        "Python, textbook": python("check_account_textbook", packages),
        "Python, Powertools": python("check_account_powertools", packages, *traced),
        "Node, Powertools": node("check_account.mjs"),
    }
    empty = rust(executables["empty"])
    harness = executables["lambda-bench"]
    with tempfile.TemporaryDirectory() as directory:
        events = Path(directory)
        for records in RECORDS:
            (events / f"{records}.json").write_bytes(stream_event(records))
        parse = float(subprocess.check_output([executables["parse"], events / f"{RECORDS[-1]}.json"])) / 1e6
        print("==> Starting the functions", flush=True)
        address = ROOT / "events/accounts/check-account.json"
        cold = [
            *(start(f"archive: {n}", it, ARCHIVE, events / "1.json", 0, **ARCHIVED) for n, it in archives.items()),
            *(start(f"check-account: {n}", it, ACCOUNTS, address, 0, **NO_ACCOUNT) for n, it in checks.items()),
            start("empty: Rust", empty, {}, address, 0),
        ]
        starts = measure(harness, STARTS, cold)
        print("==> Archiving", flush=True)
        batches = measure_batches(harness, archives, events)
        print("==> Looking addresses up", flush=True)
        warm_checks = measure(
            harness, ROUNDS, [start(name, it, ACCOUNTS, address, 200, **NO_ACCOUNT) for name, it in checks.items()]
        )
    write_batches(batches)
    functions = {f"archive: {name}": it for name, it in archives.items()}
    functions |= {f"check-account: {name}": it for name, it in checks.items()} | {"empty: Rust": empty}
    write_starts(functions, starts)
    ours = {file.name: deflated([executables[file.name]]) for file in (ROOT / "handlers").iterdir()}
    write("packages", table(["function", "package, MB"], [[name, number(ours[name] / 1e6)] for name in sorted(ours)]))
    write_goals(batches, starts, ours, parse)
    write_durations(batches)
    keep(batches, starts, warm_checks)
    print(f"==> {PAGE.relative_to(ROOT)} is written, after {time.monotonic() - begin:.0f} seconds")


if __name__ == "__main__":
    main()
