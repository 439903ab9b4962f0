"""The report: the same on every engine, and as an independent count in DuckDB."""

from pathlib import Path
from typing import Any

import duckdb
import engines
import pytest
import small_counts
from hypothesis import given
from hypothesis import strategies as st

ZONE = "Europe/Berlin"
LONG_AFTER = "2027-12-31"
Counts = dict[Any, int]


def count(root: Path, first: str = "0001-01-01", last: str = "9999-12-31") -> dict[str, Counts]:
    """Each section of the report, without merging, from bookings that are joined with their ends."""
    database = duckdb.connect()
    database.sql("SET TimeZone = 'UTC'")
    database.sql(f"""
        CREATE TABLE bookings AS
        SELECT advisor_id, student_id, starts_at AT TIME ZONE '{ZONE}' AS local,
            epoch(starts_at - booked.event_time) / 3600 AS lead, epoch(starts_at - ended.event_time) / 3600 AS notice
        FROM read_parquet('{root}/appointments/**/*.parquet') booked
        LEFT JOIN (
            FROM read_parquet('{root}/appointments/**/*.parquet') WHERE event_name = 'REMOVE'
        ) ended USING (advisor_id, starts_at, student_id)
        WHERE booked.event_name = 'INSERT' AND student_id <> 'canary'
            AND local::DATE BETWEEN '{first}' AND '{last}'
    """)

    def counts(expression: str, number: str = "count(*)") -> Counts:
        rows = database.sql(f"SELECT {expression} AS k, {number} FROM bookings GROUP BY ALL").fetchall()
        return {key: value for key, value in rows if value}

    limits = [0, 1, 24, 48, 168, 336, 672]
    lead = "CASE " + " ".join(f"WHEN lead < {limit} THEN {limit}" for limit in limits) + " END"
    kept = "count(*) FILTER (WHERE notice IS NULL)"
    repeats = "CASE " + " ".join(f"WHEN n <= {limit} THEN {limit}" for limit in [1, 2, 5, 10, 20]) + " END"
    of_students = f"SELECT {repeats}, count(*) FROM (SELECT count(*) n FROM bookings GROUP BY student_id) GROUP BY 1"
    return {
        "bookings": counts("advisor_id"),
        "cancellations": counts("advisor_id", "count(notice)"),
        "late_cancellations": counts("advisor_id", "count(*) FILTER (WHERE notice < 24)"),
        "months": counts("(advisor_id, strftime(local, '%Y-%m'))", kept),
        "hours": counts("(isodow(local), hour(local))", kept),
        "leads": counts(lead),
        "repeats": dict(database.sql(of_students).fetchall()),
    }


def shown(report: dict[str, Any]) -> dict[str, Counts]:
    """The counts of a report by section; None where a count is merged."""

    def cells(section: dict[str, Any], key: Any, measure: str) -> Counts:
        return {key(cell): cell[measure] for cell in section["cells"] if cell[measure] != 0}

    measures = ("bookings", "cancellations", "late_cancellations")
    months = {
        (of["advisor"], month): kept
        for of in report["months"]
        for month, kept in cells(of, lambda cell: cell["month"], "kept").items()
    }
    return {measure: cells(report["advisors"], lambda cell: cell["advisor"], measure) for measure in measures} | {
        "months": months,
        "hours": cells(report["hours"], lambda cell: (cell["weekday"], cell["hour"]), "kept"),
        "leads": cells(report["leads"], lambda cell: cell["below_hours"], "bookings"),
        "repeats": cells(report["repeats"], lambda cell: cell["bookings_up_to"], "students"),
    }


def settings(root: Path) -> dict[str, Any]:
    return {"archive": root / "appointments", "zone": ZONE, "before": LONG_AFTER}


@pytest.fixture(scope="session")
def report(sail: engines.Engine, example: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return sail.run("report", tmp_path_factory.mktemp("report"), **settings(example[0]))


def test_a_report_has_the_same_counts_on_every_engine_and_in_duckdb(
    engine: engines.Engine, example: tuple[Path, dict[str, Any]], tmp_path: Path, report: dict[str, Any]
) -> None:
    root, facts = example
    answer = engine.run("report", tmp_path / "report", **settings(root))
    assert answer == report
    assert (answer["rows"], answer["problems"]) == (facts["rows"], [])
    expected = count(root)
    assert sum(sum(counts.values()) for counts in expected.values()) > 10_000
    for name, counts in shown(answer).items():
        merged = {key for key, value in counts.items() if value is None}
        assert {key: value for key, value in counts.items() if value} == {
            key: value for key, value in expected[name].items() if key not in merged
        }, name
        assert counts.keys() == expected[name].keys()
    [totals] = answer["totals"]["cells"]
    for name in ("bookings", "cancellations", "late_cancellations"):
        assert totals[name] == sum(expected[name].values())


def test_a_report_shows_the_facts_of_the_archive(report: dict[str, Any], example: tuple[Path, dict[str, Any]]) -> None:
    _, facts = example
    hours = shown(report)["hours"]
    assert max(hours, key=lambda key: hours[key] or 0) == (facts["peak"]["weekday"], facts["peak"]["hour"])
    [on_leave] = [of for of in report["months"] if of["advisor"] == facts["on_leave"]["advisor"]]
    assert f"2026-{facts['on_leave']['month']}" not in [cell["month"] for cell in on_leave["cells"]]
    assert {cell["month"] for cell in on_leave["cells"]} >= {"2026-09", "2026-11"}
    late = {
        cell["advisor"]: (cell["late_cancellations"] or 0) / cell["cancellations"]
        for cell in report["advisors"]["cells"]
        if cell["cancellations"]
    }
    assert max(late, key=late.__getitem__) == facts["often_late"]


def test_a_report_names_no_student(report: dict[str, Any]) -> None:
    assert "student-" not in str(report)
    assert "canary" not in str(report)


def test_a_report_of_a_term_counts_the_appointments_between_two_local_dates(
    sail: engines.Engine, example: tuple[Path, Any], tmp_path: Path
) -> None:
    root, _ = example
    answer = sail.run("report", tmp_path, **settings(root), first="2026-10-12", last="2026-10-16")
    assert answer["totals"]["cells"][0]["bookings"] == sum(count(root, "2026-10-12", "2026-10-16")["bookings"].values())
    weekdays = [cell["weekday"] for cell in answer["hours"]["cells"]]
    assert set(weekdays) == {1, 2, 3, 4, 5}
    nothing = sail.run("report", tmp_path / "nothing", **settings(root), first="2020-01-01", last="2020-12-31")
    assert nothing["problems"] == [{"kind": "no appointments", "what": "2020-01-01 to 2020-12-31"}]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"zone": "Europe/Nowhere"}, "Europe/Nowhere is not a time zone"),
        ({"zone": "' OR ''='"}, "is not a time zone"),
        ({"first": "2026-13-01"}, "2026-13-01 is not a date"),
        ({"first": "2026-12-01", "last": "2026-11-30"}, "--first 2026-12-01 is after --last 2026-11-30"),
        ({"archive": "/nowhere/appointments"}, "no object with"),
    ],
)
def test_a_wrong_argument_ends_the_job_and_is_named(
    sail: engines.Engine, example: tuple[Path, Any], tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    with pytest.raises(engines.JobFailed, match=reason):
        sail.run("report", tmp_path, **settings(example[0]) | wrong)


def test_objects_that_cant_be_read_are_named_and_the_rest_is_counted(engine: engines.Engine, tmp_path: Path) -> None:
    engines.example_archive(tmp_path, rows=900, days=8, start="2026-10-05")
    engines.plant(
        tmp_path,
        {
            "2026-10-06": "damaged object",
            "2026-10-07": "without student",
            "2026-10-08": "without topic",
            "2026-10-09": "empty day",
            "2026-10-10": "damaged image",
        },
    )
    answer = engine.run("report", tmp_path / "report", **settings(tmp_path))
    [damaged, older, image, empty] = answer["problems"]
    assert damaged["kind"] == older["kind"] == image["kind"] == "object left out"
    assert damaged["what"].startswith("dt=2026-10-06/")
    assert older["what"].startswith("dt=2026-10-07/")
    assert image["what"].startswith("dt=2026-10-10/")
    assert empty == {"kind": "empty day", "what": "2026-10-09"}
    for left_out in (damaged, older, image):
        (tmp_path / "appointments" / left_out["what"]).unlink()
    assert shown(answer)["bookings"] == {key: value for key, value in count(tmp_path)["bookings"].items() if value >= 5}


@given(st.lists(st.integers(0, 30), max_size=12))
def test_a_small_count_is_neither_shown_nor_the_difference_of_what_is_shown(numbers: list[int]) -> None:
    cells = [{"key": index, "n": number} for index, number in enumerate(numbers)]
    section = small_counts.merged(cells, ["key"], ["n"])
    visible = [cell["n"] for cell in section["cells"] if cell["n"] is not None]
    rest = section["rest"]["n"]
    assert all(number == 0 or number >= small_counts.LEAST for number in visible)
    difference = sum(numbers) - sum(visible)
    assert difference == 0 or difference >= small_counts.LEAST or not any(visible)
    assert rest == (difference if difference == 0 or difference >= small_counts.LEAST else None)
    assert [cell["key"] for cell in section["cells"]] == list(range(len(numbers)))
