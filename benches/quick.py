"""Checks whether a change makes functions slower: `make bench-quick` counts their instructions, before and after.

"Before" is the named commit, or the one at which `make bench` measured last. Both versions are built here and run under
valgrind, so neither the machine nor its other work affects the counts. With --once both are the debug binaries that
`sam build` made, events have one record, and no difference is an error: the counts of such small events vary.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import FIGURES, ROOT, TARGET, Case, Function, cases, debug_binaries, measure

FEW, MANY = 2, 12
"""Warm invocations: the difference between many and few excludes the start."""
TOLERANCE = 1.02
RECORDS = 1_000


def build(checkout: Path, copies: Path, functions: list[str]) -> dict[str, Path]:
    packages = [argument for name in functions for argument in ("-p", name)]
    command = ["cargo", "build", "--release", "--locked", "--quiet", *packages]
    subprocess.run(command, cwd=checkout, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)})
    copies.mkdir()
    for name in functions:
        shutil.copy(TARGET / "release" / name, copies)
    return {name: copies / name for name in functions}


def instructions(harness: Path, case: Case, function: Path, event: Path, warm: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "callgrind"
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={output}", str(function)]
        measure(harness, 1, [case.start(case.name, Function(command, 0), event, warm)])
        [total] = re.findall(r"^(?:totals|summary): (\d+)$", output.read_text(), re.MULTILINE)[:1]
    return int(total)


def compare(harness: Path, base: str, before: dict[str, Path], after: dict[str, Path], most_records: int) -> list[str]:
    """Counts and prints the instructions of each function in both versions, and returns what became slower."""
    print("==> Counting", flush=True)
    print(f"{'instructions of':28} {base[:16]:>16} {'here':>16} {'ratio':>8}")
    slower = []
    with tempfile.TemporaryDirectory() as directory:
        event = Path(directory) / "event.json"
        for case in cases():
            event.write_bytes(case.event(min(most_records, case.records[-1])))
            starts, events = [], []
            for version in (before, after):
                few, many = (instructions(harness, case, version[case.binary], event, warm) for warm in (FEW, MANY))
                starts.append(few)
                events.append((many - few) // (MANY - FEW))
            for what, (old, new) in {"start": starts, "event": events}.items():
                print(f"{f'{case.binary}, {what}':28} {old:16,} {new:16,} {new / old:8.3f}")
                if new > old * TOLERANCE:
                    slower.append(f"{case.binary}, {what}")
    return slower


def last_measured() -> str:
    """The commit at which `make bench` measured the functions."""
    if not FIGURES.exists():
        sys.exit("nothing was measured yet: say what to compare with, e.g. make bench-quick BASE=main")
    return json.loads(FIGURES.read_text())["made"]["commit"].split(",")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("base", nargs="?", metavar="COMMIT", help="what to compare with")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is needed to count instructions: install it with the system's package manager")
    functions = [case.binary for case in cases()]
    if arguments.once:
        binaries = debug_binaries(*functions)
        compare(binaries["lambda-bench"], "here", binaries, binaries, most_records=1)
        return
    base = arguments.base or last_measured()
    with tempfile.TemporaryDirectory() as directory:
        checkout, before, after = (Path(directory) / name for name in ("checkout", "before", "after"))
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", checkout, base], check=True)
        try:
            print(f"==> Building {base}", flush=True)
            old = build(checkout, before, functions)
        finally:
            subprocess.run([*git, "remove", "--force", checkout], check=True)
        print("==> Building the present version", flush=True)
        new = build(ROOT, after, functions)
        command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "lambda-bench", "--bin", "lambda-bench"]
        subprocess.run(command, cwd=ROOT, check=True)
        if slower := compare(TARGET / "release/lambda-bench", base, old, new, RECORDS):
            sys.exit(f"slower than {base} by more than {TOLERANCE - 1:.0%}: {', '.join(slower)}")


if __name__ == "__main__":
    main()
