"""`make plant` finds the places of all planted bugs, and each simulation finds its first bug."""

import subprocess
import sys
from pathlib import Path

import plant
import pytest

BUGS = plant.bugs()
FIRST = {bug.program: bug.name for bug in reversed(BUGS) if not bug.test}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_there_is_one_place_for_each_bug(bug: plant.Bug) -> None:
    assert (plant.ROOT / bug.file).read_text().count(bug.old) == 1


def test_each_simulation_finds_a_planted_bug() -> None:
    command = [sys.executable, Path(plant.__file__), *FIRST.values()]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(f"| {name} | " in result.stdout for name in FIRST.values())
