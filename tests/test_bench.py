"""`make bench`, `make bench-quick` and `make power-tune-local` in their smallest forms, with existing binaries."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import measuring
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures with Linux's clocks")
POWERTOOLS = measuring.ROOT / "crates/powertools/docs"


def bench(name: str, *arguments: str, **variables: str) -> str:
    """Its output; it writes no files."""

    def written() -> dict[Path, int]:
        files = [file for directory in (measuring.RESULTS, POWERTOOLS) for file in directory.rglob("*")]
        return {file: file.stat().st_mtime_ns for file in files}

    before = written()
    command = [sys.executable, measuring.BENCHES / name, "--once", *arguments]
    room = Path(name).parent
    paths = [
        measuring.BENCHES,
        measuring.ROOT / "local",
        measuring.ROOT / "tests/powertools",
        measuring.ROOT / "tests" / room,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))} | variables
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert written() == before
    return result.stdout


def test_every_function_that_has_peers_can_be_measured() -> None:
    page = bench("performance.py")
    for case in measuring.cases():
        assert f"## {case.binary}\n" in page
        assert f"| {case.name}: {measuring.OURS} |" in page


@pytest.mark.parametrize("room", sorted(it.parent.name for it in measuring.BENCHES.glob("*/compare.py")))
def test_a_room_with_measurements_of_its_own_can_be_measured(room: str) -> None:
    assert "## Goals\n" in bench(f"{room}/compare.py")


def test_what_powertools_costs_can_be_measured() -> None:
    assert "| all together | " in bench("powertools.py")


def test_how_long_a_command_compiles_can_be_measured() -> None:
    command = "cargo metadata --offline --format-version 1"
    assert re.search(rf"^\| `{command}` \| \d+\.\d \| \d+\.\d \|$", bench("build.py", command), re.MULTILINE)


@pytest.mark.parametrize("function", [case.binary for case in measuring.cases()[:1]])
def test_a_function_s_memory_size_can_be_computed(function: str) -> None:
    page = bench("power_tune_local.py", F=function, STRATEGY="balanced")
    assert re.search(rf"^{function}, modelled: balanced recommends \d+ MB$", page, re.MULTILINE)


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind, from the system's package manager")
def test_a_function_s_instructions_can_be_counted() -> None:
    page = bench("quick.py")
    for case in measuring.cases():
        for what in ("start", "event"):
            assert re.search(rf"^{case.binary}, {what} +-?[\d,]+ ", page, re.MULTILINE), page
