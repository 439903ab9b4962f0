"""The check of the archive notices each fault, and nothing else."""

from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import engines

START = date(2026, 10, 5)
# What the check answers to each fault. A rewritten object usually has another size, too.
EXPECTED = {
    "removed row": {"rows", "sums"},
    "doubled row": {"rows", "sums", "repeated rows"},
    "altered advisor": {"altered rows"},
    "altered start": {"altered rows"},
    "altered student": {"altered rows"},
    "altered topic": {"altered rows"},
    "altered name": {"altered rows"},
    "altered time": {"altered rows"},
    "altered image": {"sums"},
    "falsified sum": {"sums"},
    "falsified count": {"rows"},
    "missing entry": {"rows", "sums", "object"},
    "missing object": {"rows", "sums", "object"},
    "damaged object": {"rows", "sums", "object"},
}


def settings(root: Path) -> dict[str, Any]:
    return {"archive": root / "appointments", "ledger": root / "ledger", "before": "2027-12-31"}


def kinds(answer: dict[str, Any]) -> dict[str, set[str]]:
    """The kinds of differences on each day."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in answer["differences"]:
        found[one.get("dt") or one["object"].split("/")[0].removeprefix("dt=")].add(one["kind"])
    return found


def test_an_archive_that_agrees_with_its_ledger_has_no_differences(
    engine: engines.Engine, example: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root, facts = example
    answer = engine.run("check", tmp_path, **settings(root))
    assert (answer["rows"], answer["differences"], answer["problems"]) == (facts["rows"], [], [])


def test_each_fault_is_noticed_on_its_day_and_nothing_else(engine: engines.Engine, tmp_path: Path) -> None:
    engines.example_archive(tmp_path, rows=4_000, days=2 * len(EXPECTED) + 5, start=START)
    days = {str(START + timedelta(days=2 * index + 1)): fault for index, fault in enumerate(EXPECTED)}
    engines.plant(tmp_path, days)
    answer = engine.run("check", tmp_path / "check", **settings(tmp_path))
    found = kinds(answer)
    for dt, fault in days.items():
        assert found.pop(dt) - EXPECTED[fault] <= {"object"}, fault
        assert EXPECTED[fault] <= kinds(answer)[dt], fault
    assert found == {}
    [damaged] = answer["problems"]
    assert days[damaged["what"].split("/")[0].removeprefix("dt=")] == "damaged object"


def test_changes_of_days_that_are_not_closed_are_not_compared(sail: engines.Engine, tmp_path: Path) -> None:
    engines.example_archive(tmp_path, rows=300, days=4, start=START)
    engines.plant(tmp_path, {"2026-10-07": "removed row"})
    answer = sail.run("check", tmp_path / "check", **settings(tmp_path) | {"before": "2026-10-07"})
    assert (answer["days"], answer["differences"]) == (2, [])
