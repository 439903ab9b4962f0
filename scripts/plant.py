"""Plants bugs into a copy of the sources, one at a time, and shows that a simulation or a test finds each of them.

The bugs are those of ``tests/*/simulation/bugs.yaml`` and ``crates/*/tests/bugs.yaml``; arguments name some of them.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from fork import Project

ROOT = Path(__file__).parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
COPY = TARGET / "planted"
SEED = 1
SECONDS = 60


@dataclass
class Bug:
    name: str
    file: str
    """Path from the project's directory."""
    old: str
    new: str
    program: str
    """The simulation that has to find it, ``simulate-<room>`` or the one it names; or the crate whose test has to."""
    test: str = ""
    """That test: the file's name, then its own."""


def bugs() -> list[Bug]:
    programs = {file: f"simulate-{file.parts[-3]}" for file in sorted(ROOT.glob("tests/*/simulation/bugs.yaml"))}
    programs |= {file: file.parts[-3] for file in sorted(ROOT.glob("crates/*/tests/bugs.yaml"))}
    return [
        Bug(**{"program": program} | bug)
        for file, program in programs.items()
        for bug in yaml.safe_load(file.read_text())
    ]


def main() -> None:
    planted = [bug for bug in bugs() if not sys.argv[1:] or bug.name in sys.argv[1:]]
    if unknown := set(sys.argv[1:]) - {bug.name for bug in planted}:
        sys.exit(f"there is no bug {', '.join(sorted(unknown))}")
    shutil.rmtree(COPY, ignore_errors=True)
    # Binaries with and without a bug are never confused; compiled dependencies are shared.
    Project(ROOT).copied_to(COPY).renumber()
    missed = []
    print("| planted | schedules | seconds | shortest schedule |\n|---|---|---|---|", flush=True)
    for bug in planted:
        path = COPY / bug.file
        source = path.read_text()
        if source.count(bug.old) != 1:
            sys.exit(f"{bug.file} does not have this once: say in its bugs.yaml how to plant the bug now.\n{bug.old}")
        path.write_text(source.replace(bug.old, bug.new))
        result = fail(bug) if bug.test else simulate(bug.program)
        path.write_text(source)
        print(f"| {bug.name} | {result or 'NOT FOUND | |'} |", flush=True)
        if not result:
            missed.append(bug.name)
    if missed:
        sys.exit(f"Not found within {SECONDS} s: {', '.join(missed)}")


# With the features of the whole workspace, so that its compiled dependencies are used.
CARGO = ["cargo", "test", "--workspace", "--all-features", "--quiet"]
ENVIRONMENT = os.environ | {"CARGO_TARGET_DIR": str(TARGET), "SEED": str(SEED), "SCHEDULES": "1000000000"}


def build(command: list[str]) -> None:
    built = subprocess.run([*command, "--no-run"], cwd=COPY, env=ENVIRONMENT, capture_output=True, text=True)
    if built.returncode:
        sys.exit(built.stderr)


def fail(bug: Bug) -> str:
    """The row of the table; empty if the test succeeds."""
    target, name = bug.test.split("::")
    cargo = [*CARGO, "--test", target]
    build(cargo)
    start = time.monotonic()
    command = ["timeout", str(SECONDS), *cargo, "--", "--exact", name]
    run = subprocess.run(command, cwd=COPY, env=ENVIRONMENT, capture_output=True, text=True)
    if "1 failed" not in run.stdout:
        return ""
    return f"| {time.monotonic() - start:.1f} | {name}"


def simulate(program: str) -> str:
    """The row of the table; empty if the bug was not found in time."""
    cargo = [*CARGO, "--bin", program]
    build(cargo)
    # More time, because it then looks for a shorter schedule.
    command = ["timeout", str(4 * SECONDS), *cargo]
    output = subprocess.run(command, cwd=COPY, env=ENVIRONMENT, capture_output=True, text=True).stdout
    found = re.search(r"Found after (\d+) schedules, ([\d.]+) s", output)
    shortest = re.search(r"has (\d+) numbers", output)
    if not found or not shortest or float(found[2]) > SECONDS:
        return ""
    return f"{int(found[1]):,} | {found[2]} | {shortest[1]} numbers"


if __name__ == "__main__":
    main()
