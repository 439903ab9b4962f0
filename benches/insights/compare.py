"""Compares the jobs on Sail, on Spark and, for the report, in DuckDB: `make bench` measures them.

Writes a page into benches/results. With --once it runs them once on few rows, without Spark, and writes nothing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import engines
from measuring import TARGET, write_page
from performance import Goals, number, table

HERE = Path(__file__).parent
ARCHIVES = TARGET / "bench/insights"
SAIL, DUCKDB, SPARK = "Sail", "DuckDB", "Spark"
ROWS = [100_000, 1_000_000, 10_000_000]
EXTRAPOLATED = 100_000_000
ROUNDS = 3
ZONE, BEFORE = "Europe/Berlin", "2027-01-01"
# Changes a day, and rows of an object.
SMALL_OBJECTS = [(60, 1), (200, 5), (1_000, 20), (60, 20)]
GOAL_OBJECTS = (1_000, 20)


@dataclass
class Measured:
    seconds: float
    cpu: float
    """Processor time in seconds, of all processes. Other programs on the machine change it less than the time."""
    memory: int
    """Peak in bytes: the sum of the processes' peaks."""


def archive(rows: int, days: int, rows_per_object: int, folder: Path) -> Path:
    """An example archive, which is written once: ten million rows take ten minutes."""
    if not (folder / "facts.json").exists():
        print(f"==> Writing an archive of {rows:,} rows", flush=True)
        engines.example_archive(folder, rows=rows, days=days, rows_per_object=rows_per_object)
    return folder


# ---- Measuring


def started() -> Iterator[tuple[str, list[str]]]:
    """The processes that this one has started, and those that they have, with their fields of /proc/<id>/stat."""
    fields: dict[str, list[str]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in brackets, can have spaces.
            fields[process.name] = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            # It has ended meanwhile.
            continue
    for process in fields:
        ancestor: str | None = process
        while ancestor in fields and ancestor != str(os.getpid()):
            ancestor = fields[ancestor][1]
        if ancestor == str(os.getpid()) != process:
            yield process, fields[process]


@contextmanager
def usages() -> Iterator[dict[str, tuple[float, int]]]:
    """The processor time and the peak memory of each process that is started in the block, in seconds and bytes."""
    found: dict[str, tuple[float, int]] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for process, fields in started():
                try:
                    status = Path("/proc", process, "status").read_text()
                except OSError:
                    continue
                peak = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
                if peak:
                    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                    found[process] = cpu, int(peak[1]) * 1024

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


@contextmanager
def engine(name: str) -> Iterator[engines.Engine]:
    if name == SPARK:
        yield engines.spark()
    else:
        with engines.sail() as sail:
            yield sail


def measure(name: str, job: str, root: Path, **arguments: Any) -> tuple[Measured, dict[str, Any]]:
    """A job, from the start of its engine to its end, and its answer."""
    with tempfile.TemporaryDirectory() as folder, usages() as found:
        begin, output = time.monotonic(), Path(folder) / "answer"
        if name == DUCKDB:
            command = [sys.executable, HERE / "report_duckdb.py", root / "appointments", ZONE, BEFORE, output]
            subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(engines.JOBS)})
            seconds, answer = time.monotonic() - begin, json.loads(output.read_text())
        else:
            with engine(name) as on:
                answer = on.run(job, output, archive=root / "appointments", before=BEFORE, **arguments)
                seconds = time.monotonic() - begin
    cpu, memory = (sum(column) for column in zip(*found.values(), strict=True))
    return Measured(seconds, cpu, memory), answer


def reports(root: Path, names: list[str], rounds: int) -> dict[str, Measured]:
    """The engines take turns, so that a change of the machine's speed meets all of them."""
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    answers: dict[str, Any] = {}
    for _ in range(rounds):
        for name in names:
            print(f"==> A report of {root.name} rows: {name}", flush=True)
            measured, answers[name] = measure(name, "report", root, **({} if name == DUCKDB else {"zone": ZONE}))
            runs[name].append(measured)
    assert SPARK not in names or answers[SPARK] == answers[SAIL], "Spark and Sail disagree"
    assert in_short(answers[SAIL]) == answers[DUCKDB], "Sail and DuckDB disagree"
    return {
        name: Measured(median(it.seconds for it in them), median(it.cpu for it in them), max(it.memory for it in them))
        for name, them in runs.items()
    }


def in_short(report: dict[str, Any]) -> dict[str, Any]:
    """What report_duckdb.py answers."""
    same = {name: report[name] for name in ("advisors", "hours", "totals")}
    return same | {
        "leads": [cell["bookings"] for cell in report["leads"]["cells"]],
        "repeats": [cell["students"] for cell in report["repeats"]["cells"]],
        "months": sum(len(of["cells"]) for of in report["months"]),
    }


def check(name: str, root: Path) -> Measured:
    print(f"==> A check of {root.name} rows: {name}", flush=True)
    measured, answer = measure(name, "check", root, ledger=root / "ledger")
    assert answer["differences"] == [], "the archive differs from its ledger"
    return measured


def compact(name: str, root: Path) -> tuple[Measured, float]:
    """A compaction, and how many times smaller its days became."""
    print(f"==> A compaction of {root.name} rows: {name}", flush=True)
    with tempfile.TemporaryDirectory(dir=root) as place:
        folders = {"compacted": f"{place}/none", "staging": f"{place}/staging"}
        measured, answer = measure(name, "compact", root, ledger=root / "ledger", **folders)
        days = [f"dt={day['dt']}" for day in answer["days"]]
        before, after = (
            sum(path.stat().st_size for day in days for path in (folder / day).glob("*.parquet"))
            for folder in (root / "appointments", Path(folders["staging"]))
        )
    return measured, before / after if after else 0


# ---- The page


def megabytes(root: Path) -> str:
    return number(sum(path.stat().st_size for path in root.glob("appointments/*/*")) / 1e6)


def extrapolated(by_rows: dict[int, Measured]) -> Measured:
    """On the straight line through the two largest sizes."""
    (few, less), (many, more) = sorted(by_rows.items())[-2:]
    factor = (EXTRAPOLATED - many) / (many - few)
    return Measured(
        more.seconds + factor * (more.seconds - less.seconds),
        more.cpu + factor * (more.cpu - less.cpu),
        more.memory + round(factor * (more.memory - less.memory)),
    )


def job_section(job: str, measured: dict[int, dict[str, Measured]]) -> list[str]:
    """A table of a job's runs, by rows and engine."""
    names = list(next(iter(measured.values())))
    head = ["rows", *(f"{name}, {unit}" for unit in ("s", "CPU s", "GB") for name in names)]

    def row(label: str, by_name: dict[str, Measured]) -> list[str]:
        found = [by_name[name] for name in names]
        columns = [[it.seconds for it in found], [it.cpu for it in found], [it.memory / 1e9 for it in found]]
        return [label, *(number(value) for column in columns for value in column)]

    rows = [row(f"{number_of_rows:,}", by_name) for number_of_rows, by_name in measured.items()]
    if len(measured) > 1:
        far = {name: extrapolated({rows: by_name[name] for rows, by_name in measured.items()}) for name in names}
        rows.append(row(f"{EXTRAPOLATED:,}, extrapolated", far))
    return [f"## {job}", table(head, rows)]


def sections(
    all_rows: list[int], days: int, names: list[str], rounds: int, small: list[tuple[int, int]], place: Path
) -> list[str]:
    """Measures; returns the page's sections."""
    # All have about four objects a day.
    roots = {rows: archive(rows, days, rows // (3 * days), place / str(rows)) for rows in all_rows}
    engine_names = [name for name in names if name != DUCKDB]
    found = {rows: reports(root, names, rounds) for rows, root in roots.items()}
    checked = {rows: {name: check(name, root) for name in engine_names} for rows, root in roots.items()}
    compacted = {rows: {name: compact(name, root)[0] for name in engine_names} for rows, root in roots.items()}
    smaller = {}
    for changes, rows_per_object in small:
        days = max(10, 10_000 // changes)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            root = archive(changes * days, days, rows_per_object, Path(folder) / f"{changes} a day")
            smaller[changes, rows_per_object] = compact(SAIL, root)[1]
    goals, largest = Goals(), found[all_rows[-1]]
    if SPARK in largest:
        ratio = largest[SAIL].seconds / largest[SPARK].seconds
        goals.add(f"a report of {all_rows[-1]:,} rows: time against Spark", ratio, 1 / 10)
    goals.add("objects of 20 rows: size when compacted", 1 / smaller[GOAL_OBJECTS], 1 / 4)
    sizes = [
        [f"{rows:,}", f"{len(list(root.glob('appointments/*/*'))):,}", megabytes(root)] for rows, root in roots.items()
    ]
    return [
        *goals.section(),
        "## The archives",
        table(["rows", "objects", "MB"], sizes),
        *job_section("Report", found),
        *job_section("Check", checked),
        *job_section("Compaction", compacted),
        "## Small objects",
        table(
            ["changes a day", "rows of an object", "smaller, times"],
            [[f"{changes:,}", str(rows), number(times)] for (changes, rows), times in smaller.items()],
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    if parser.parse_args().once:
        with tempfile.TemporaryDirectory() as place:
            print("\n\n".join(sections([2_000], 10, [SAIL, DUCKDB], 1, [GOAL_OBJECTS], Path(place))))
        return
    if not engines.has_java():
        sys.exit("Spark needs Java: on Debian, apt-get install default-jre-headless")
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    page = sections(ROWS, 365, [SAIL, DUCKDB, SPARK], ROUNDS, SMALL_OBJECTS, ARCHIVES)
    write_page("insights", "The jobs, measured", page)


if __name__ == "__main__":
    main()
