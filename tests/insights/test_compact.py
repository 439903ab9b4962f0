"""Compacted days have the rows of the archive's days, whatever happens on the way."""

import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import engines
import pytest

BEFORE = "2026-10-12"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten days, seven of them closed, in objects as small as most."""
    engines.example_archive(tmp_path, rows=2_500, days=10, start="2026-10-05", rows_per_object=5)
    return tmp_path


def compact(engine: engines.Engine, root: Path, attempt: str) -> dict[str, Any]:
    folders = {"archive": "appointments", "ledger": "ledger", "compacted": "compacted", "staging": f"staging/{attempt}"}
    given = {name: root / path for name, path in folders.items()}
    return engine.run("compact", root / f"answers/{attempt}", **given, before=BEFORE)


def publish(root: Path, attempt: str, most: int | None = None) -> None:
    """What the workflow does with a checked attempt: it copies each object to its day's only name."""
    for path in sorted((root / f"staging/{attempt}").glob("dt=*/*.parquet"))[:most]:
        target = root / "compacted" / path.parent.name / "day.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target.with_suffix(".new"))
        os.replace(target.with_suffix(".new"), target)


def rows(root: Path, folder: str, before: str = BEFORE) -> list[tuple[Any, ...]]:
    """All rows of a folder's closed days, in one order."""
    source = f"read_parquet('{root}/{folder}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
    columns = "* REPLACE (event_time::TIMESTAMP AS event_time, starts_at::TIMESTAMP AS starts_at)"
    return duckdb.sql(f"SELECT {columns} FROM {source} WHERE dt < '{before}' ORDER BY ALL").fetchall()


def size(root: Path, folder: str) -> int:
    return sum(
        path.stat().st_size for path in (root / folder).glob("dt=*/*.parquet") if path.parent.name < f"dt={BEFORE}"
    )


def test_closed_days_become_one_small_object_each_with_the_same_rows(engine: engines.Engine, root: Path) -> None:
    originals = sorted(root.glob("appointments/**/*.parquet"))
    answer = compact(engine, root, "1")
    assert [day["dt"] for day in answer["days"]] == [f"2026-10-{day:02}" for day in range(5, 12)]
    assert (answer["left_out"], answer["problems"]) == ([], [])
    publish(root, "1")
    assert rows(root, "compacted") == rows(root, "appointments")
    assert len(list(root.glob("compacted/dt=*/*"))) == 7
    assert size(root, "compacted") * 4 < size(root, "appointments")
    assert sorted(root.glob("appointments/**/*.parquet")) == originals


def test_a_report_is_the_same_with_compacted_days(sail: engines.Engine, root: Path) -> None:
    compact(sail, root, "1")
    publish(root, "1")
    given = {"archive": root / "appointments", "zone": "Europe/Berlin", "before": "2027-01-01"}
    original = sail.run("report", root / "answers/original", **given)
    # Only what is compacted may be read of closed days.
    for path in root.glob("appointments/dt=*"):
        if path.name < f"dt={BEFORE}":
            shutil.rmtree(path)
    assert sail.run("report", root / "answers/compacted", **given, compacted=root / "compacted") == original


def test_a_killed_attempt_is_made_good_by_the_next(sail: engines.Engine, root: Path) -> None:
    # Killed while it wrote: another attempt neither reads nor continues what is there.
    (root / "staging/1/dt=2026-10-05").mkdir(parents=True)
    shutil.copy(next(root.glob("appointments/dt=2026-10-05/*")), root / "staging/1/dt=2026-10-05/part.parquet")
    with pytest.raises(engines.JobFailed, match="exists"):
        compact(sail, root, "1")
    compact(sail, root, "2")
    # Killed after each object that was published.
    for most in range(1, 7):
        publish(root, "2", most)
        published = {path.name for path in root.glob("compacted/dt=*")}
        assert rows(root, "compacted") == [row for row in rows(root, "appointments") if f"dt={row[-1]}" in published]
    answer = compact(sail, root, "3")
    assert [day["dt"] for day in answer["days"]] == ["2026-10-11"]
    publish(root, "3")
    assert rows(root, "compacted") == rows(root, "appointments")
    assert compact(sail, root, "4")["days"] == []


def test_a_day_that_has_changed_since_is_compacted_again(sail: engines.Engine, root: Path) -> None:
    compact(sail, root, "1")
    publish(root, "1")
    engines.plant(root, {"2026-10-07": "added object"})
    answer = compact(sail, root, "2")
    assert [day["dt"] for day in answer["days"]] == ["2026-10-07"]
    publish(root, "2")
    assert rows(root, "compacted") == rows(root, "appointments")


def test_a_day_that_disagrees_with_the_ledger_or_is_damaged_is_left_out_and_named(
    sail: engines.Engine, root: Path
) -> None:
    engines.plant(root, {"2026-10-06": "removed row", "2026-10-08": "damaged object"})
    answer = compact(sail, root, "1")
    assert [one["dt"] for one in answer["left_out"]] == ["2026-10-06", "2026-10-08"]
    assert [day["dt"] for day in answer["days"]] == ["2026-10-05", *(f"2026-10-{day:02}" for day in (7, 9, 10, 11))]
    [damaged] = answer["problems"]
    assert damaged["what"].startswith("dt=2026-10-08/")
