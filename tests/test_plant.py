"""`make plant` finds what it plants bugs into, and the simulation finds one of them."""

import subprocess
import sys
from pathlib import Path

import plant
import pytest


@pytest.mark.parametrize("bug", plant.BUGS, ids=lambda bug: bug.name)
def test_there_is_one_place_for_each_bug(bug: plant.Bug) -> None:
    assert (plant.ROOT / bug.file).read_text().count(bug.old) == 1


def test_the_simulation_finds_a_planted_bug() -> None:
    result = subprocess.run([sys.executable, Path(plant.__file__), "drop poison"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "| drop poison | " in result.stdout
