"""Checks whether a change makes functions slower: `make bench-quick` counts their instructions, before and after.

Both versions are built here and run under valgrind, so neither the machine nor its other work affects the counts.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, TARGET, Case, Function, cases, measure

BASE = os.environ["BASE"]
FEW, MANY = 2, 12
"""Warm invocations: the difference between many and few excludes the start."""
TOLERANCE = 1.05
RECORDS = 1_000


def build(checkout: Path, copies: Path, functions: list[str]) -> None:
    packages = [argument for name in functions for argument in ("-p", name)]
    command = ["cargo", "build", "--release", "--locked", "--quiet", *packages]
    subprocess.run(command, cwd=checkout, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)})
    copies.mkdir()
    for name in functions:
        shutil.copy(TARGET / "release" / name, copies)


def instructions(harness: Path, case: Case, function: Path, event: Path, warm: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "callgrind"
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={output}", str(function)]
        measure(harness, 1, [case.start(case.name, Function(command, 0), event, warm)])
        [total] = re.findall(r"^(?:totals|summary): (\d+)$", output.read_text(), re.MULTILINE)[:1]
    return int(total)


def main() -> None:
    if not shutil.which("valgrind"):
        sys.exit("valgrind is needed to count instructions: install it with the system's package manager")
    slower = []
    with tempfile.TemporaryDirectory() as directory:
        checkout, before, after = (Path(directory) / name for name in ("checkout", "before", "after"))
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", checkout, BASE], check=True)
        try:
            print(f"==> Building {BASE}", flush=True)
            build(checkout, before, [case.binary for case in cases()])
        finally:
            subprocess.run([*git, "remove", "--force", checkout], check=True)
        print("==> Building the present version", flush=True)
        build(ROOT, after, [case.binary for case in cases()])
        command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "lambda-bench", "--bin", "lambda-bench"]
        subprocess.run(command, cwd=ROOT, check=True)
        print("==> Counting", flush=True)
        lines = [f"{'instructions of':28} {BASE[:16]:>16} {'here':>16} {'ratio':>8}"]
        for case in cases():
            event = Path(directory) / "event.json"
            event.write_bytes(case.event(min(RECORDS, case.records[-1])))
            counts = {
                (version, warm): instructions(TARGET / "release/lambda-bench", case, version / case.binary, event, warm)
                for version in (before, after)
                for warm in (FEW, MANY)
            }
            for what, count in {
                f"{case.binary}, start": lambda version, c=counts: c[version, FEW],
                f"{case.binary}, event": lambda version, c=counts: (c[version, MANY] - c[version, FEW]) // (MANY - FEW),
            }.items():
                old, new = count(before), count(after)
                lines.append(f"{what:28} {old:16,} {new:16,} {new / old:8.3f}")
                if new > old * TOLERANCE:
                    slower.append(what)
    print(*lines, sep="\n")
    if slower:
        sys.exit(f"slower than {BASE} by more than {TOLERANCE - 1:.0%}: {', '.join(slower)}")


if __name__ == "__main__":
    main()
