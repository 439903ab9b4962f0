"""The report on all appointments: load, cancellations, hours, lead times and repeated bookings. Nobody is named in it.

docs/insights/report.md describes it.
"""

import argparse
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from insights_archive import STREAM, Archive, Problem, day, folder, run
from pyspark.sql import DataFrame, SparkSession
from small_counts import LEAST, Cell, merged

NEEDED = ["event_source", "event_name", "event_time", "advisor_id", "starts_at", "student_id", "old_image"]
# Lead times in hours, with the upper limit of each; the last has none.
LEADS = [0, 1, 24, 48, 7 * 24, 14 * 24, 28 * 24]
# Of all dates.
FIRST, LAST = "0001-01-01", "9999-12-31"
# Numbers of bookings of one student, with the upper limit of each; the last has none.
REPEATS = [1, 2, 5, 10, 20]

# A change is a booking if a student has the slot afterwards who did not have it before, and a cancellation vice versa.
# A row of the reconciliation can be both: it stands for changes that are missing. It doesn't tell their time.
CHANGES = """
    SELECT *,
        has IS NOT NULL AND NOT has <=> had AS booked,
        had IS NOT NULL AND NOT has <=> had AS cancelled,
        event_source = '{stream}' AS is_timed,
        unix_timestamp(starts_at) - unix_timestamp(event_time) AS lead_seconds
    FROM (
        SELECT *,
            CASE WHEN event_name <> 'REMOVE' THEN student_id END AS has,
            CASE event_name
                WHEN 'REMOVE' THEN student_id
                WHEN 'MODIFY' THEN get_json_object(old_image, '$.student_id.S')
            END AS had,
            from_utc_timestamp(starts_at, '{zone}') AS local
        FROM archive)
    WHERE student_id <> 'canary'{dates}
"""
# Only if asked for, because it takes a third of the time.
DATES = " AND CAST(local AS DATE) BETWEEN DATE '{first}' AND DATE '{last}'"
COUNTS = """
    count_if(booked) AS bookings,
    count_if(booked AND NOT is_timed) AS untimed_bookings,
    count_if(cancelled) AS cancellations,
    count_if(cancelled AND is_timed AND lead_seconds < {late_hours} * 3600) AS late_cancellations,
    count_if(cancelled AND NOT is_timed) AS untimed_cancellations,
    count_if(booked) - count_if(cancelled) AS kept
"""
# One pass over the rows for all sections but one: the cells that the others are sums of.
GROUPS = """
    SELECT advisor, month, weekday, hour, lead, {counts}
    FROM (
        SELECT *,
            advisor_id AS advisor,
            year(local) * 100 + month(local) AS month,
            (dayofweek(local) + 5) % 7 + 1 AS weekday,
            hour(local) AS hour,
            CASE {leads} ELSE {last_lead} END AS lead
        FROM changes)
    GROUP BY GROUPING SETS ((advisor, month), (weekday, hour, lead))
"""
STUDENTS = """
    SELECT repeats, count(*) AS students
    FROM (
        SELECT CASE {repeats} ELSE {last_repeat} END AS repeats
        FROM (SELECT has, count(*) AS bookings FROM changes WHERE booked GROUP BY has))
    GROUP BY repeats
"""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=folder, required=True, help="the folder of the days, …/appointments")
    parser.add_argument("--compacted", type=folder, help="the folder of the compacted days, if there is one")
    parser.add_argument("--output", type=folder, required=True, help="the folder for the answer")
    parser.add_argument("--zone", type=zone, required=True, help="the school's time zone, such as Europe/Berlin")
    parser.add_argument("--before", type=day, required=True, help="the first UTC date whose changes are left out")
    parser.add_argument("--first", type=day, default=FIRST, help="the first date of appointments, in the zone")
    parser.add_argument("--last", type=day, default=LAST, help="the last date of appointments, in the zone")
    parser.add_argument("--late-hours", type=int, default=24, help="a cancellation is late if fewer hours are left")
    parsed = parser.parse_args(given)
    if parsed.first > parsed.last:
        parser.error(f"--first {parsed.first} is after --last {parsed.last}")
    return parsed


def zone(text: str) -> str:
    """A text that may name a time zone, and can't end a text of SQL."""
    if not re.fullmatch(r"[\w+/-]+", text):
        raise argparse.ArgumentTypeError(f"{text} is not a time zone")
    return text


def check_zone(spark: SparkSession, zone: str) -> None:
    """Ends the job if the engine does not know the time zone."""
    try:
        spark.range(1).selectExpr(f"from_utc_timestamp(TIMESTAMP '2026-01-01 00:00:00', '{zone}')").collect()
    except Exception as error:
        raise SystemExit(f"{zone} is not a time zone") from error


def limits(column: str, upper: list[int], operator: str, factor: int = 1) -> str:
    """The branches of a CASE that give the index of the first limit that the column is below."""
    return " ".join(f"WHEN {column} {operator} {limit * factor} THEN {index}" for index, limit in enumerate(upper))


def named(section: dict[str, Any], key: str, name: str, upper: list[int]) -> dict[str, Any]:
    """The section with limits instead of their indices; the last cell has no limit."""
    for cell in section["cells"]:
        index = cell.pop(key)
        cell[name] = upper[index] if index < len(upper) else None
    return section


def advisor_of(cell: Cell) -> str:
    return cell["advisor"]


def sections(rows: DataFrame, given: argparse.Namespace) -> dict[str, Any]:
    spark = rows.sparkSession
    rows.createOrReplaceTempView("archive")
    all_dates = (given.first, given.last) == (FIRST, LAST)
    dates = "" if all_dates else DATES.format(first=given.first, last=given.last)
    changes = CHANGES.format(stream=STREAM, zone=given.zone, dates=dates)
    spark.sql(changes).createOrReplaceTempView("changes")
    counts = COUNTS.format(late_hours=given.late_hours)
    leads = limits("lead_seconds", LEADS, "<", factor=3600)
    groups = GROUPS.format(counts=counts, leads=leads, last_lead=len(LEADS))
    cells = [row.asDict() for row in spark.sql(groups).collect()]
    by_advisor = [cell for cell in cells if cell["advisor"] is not None]
    by_hour = [cell for cell in cells if cell["advisor"] is None]
    for cell in by_advisor:
        cell["month"] = "{:04}-{:02}".format(*divmod(cell["month"], 100))
    by_lead = [cell | {"bookings": cell["bookings"] - cell["untimed_bookings"]} for cell in by_hour]
    repeats = limits("bookings", REPEATS, "<=")
    students = spark.sql(STUDENTS.format(repeats=repeats, last_repeat=len(REPEATS))).collect()
    totals = ["bookings", "cancellations", "late_cancellations", "untimed_bookings", "untimed_cancellations"]
    return {
        "totals": merged(by_hour, [], totals),
        "advisors": merged(by_advisor, ["advisor"], ["bookings", "cancellations", "late_cancellations"]),
        # For each advisor apart, because the sections together tell an advisor's sum.
        "months": [
            {"advisor": advisor} | merged(list(months), ["month"], ["kept"])
            for advisor, months in groupby(sorted(by_advisor, key=advisor_of), advisor_of)
        ],
        "hours": merged(by_hour, ["weekday", "hour"], ["kept"]),
        "leads": named(merged(by_lead, ["lead"], ["bookings"]), "lead", "below_hours", LEADS),
        "repeats": named(
            merged([row.asDict() for row in students], ["repeats"], ["students"]), "repeats", "bookings_up_to", REPEATS
        ),
    }


def count(archive: Archive, given: argparse.Namespace) -> tuple[int, dict[str, Any]] | None:
    """The number of rows, and the sections; None if a row lacks what a job needs."""
    [counts] = archive.rows().selectExpr("count(*)", *(f"count({name})" for name in archive.required)).collect()
    return (counts[0], sections(archive.rows(), given)) if len(set(counts)) == 1 else None


def report(spark: SparkSession, given: argparse.Namespace) -> dict[str, Any]:
    check_zone(spark, given.zone)
    archive = Archive(spark, given.archive, NEEDED, given.before, given.compacted)
    problems: list[Problem] = []
    try:
        counted = count(archive, given)
    except Exception:
        # Both engines have many types for what a damaged object causes.
        counted = None
    if counted is None:
        problems = archive.without_faults()
        counted = count(archive, given)
        assert counted, "no row lacks a value any more"
    rows, found = counted
    problems += archive.empty_days()
    if not found["advisors"]["cells"]:
        problems.append({"kind": "no appointments", "what": f"{given.first} to {given.last}"})
    settings = {name: getattr(given, name) for name in ("zone", "before", "first", "last", "late_hours")}
    return {"job": "report", "rows": rows, "least": LEAST, "problems": problems} | settings | found


if __name__ == "__main__":
    run(report, arguments())
