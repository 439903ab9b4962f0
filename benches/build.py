"""Measures how long commands take that compile everything from nothing: `make bench-build`.

Arguments are the commands. With `--once`, they use what is compiled already, and nothing is written.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

from measuring import RESULTS, ROOT, TARGET, provenance


def measure(command: str, target: str) -> str:
    """The row of the table, in minutes."""
    environment = os.environ | {"CARGO_TARGET_DIR": target}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, shell=True, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"| `{command}` | {processor / 60:.1f} | {seconds / 60:.1f} |"


def main() -> None:
    commands = [argument for argument in sys.argv[1:] if argument != "--once"]
    page = ["| command | processor minutes | minutes |", "|---|---:|---:|"]
    print(*page, sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        for command in commands:
            page.append(measure(command, str(TARGET) if "--once" in sys.argv else directory))
            print(page[-1], flush=True)
    if "--once" not in sys.argv:
        made = provenance()
        what = (
            f"`make bench-build` wrote this page on {made['date']}, at commit {made['commit']}, "
            f"on {os.cpu_count()} cores. Each command begins with what those above it have compiled."
        )
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "build.md").write_text("\n".join(["# Compiling", "", what, "", *page]) + "\n")


if __name__ == "__main__":
    main()
