"""The report in DuckDB: the same counts from the same columns. Usage: report_duckdb.py ARCHIVE ZONE BEFORE OUTPUT"""

import json
import sys
from pathlib import Path
from typing import Any

import duckdb
from small_counts import merged

LEADS = [0, 1, 24, 48, 7 * 24, 14 * 24, 28 * 24]
REPEATS = [1, 2, 5, 10, 20]
SECTIONS = {0b01111: "advisors", 0b00111: "months", 0b11001: "hours", 0b11110: "leads", 0b11111: "totals"}
CHANGES = """
    CREATE TEMP VIEW changes AS
    SELECT *,
        has IS NOT NULL AND has IS DISTINCT FROM had AS booked,
        had IS NOT NULL AND has IS DISTINCT FROM had AS cancelled,
        event_source = 'aws:dynamodb' AS is_timed,
        epoch(starts_at) - epoch(event_time) AS lead_seconds
    FROM (
        SELECT *,
            CASE WHEN event_name <> 'REMOVE' THEN student_id END AS has,
            CASE event_name WHEN 'REMOVE' THEN student_id WHEN 'MODIFY' THEN old_image->>'$.student_id.S' END AS had,
            starts_at AT TIME ZONE '{zone}' AS local
        FROM read_parquet('{archive}/**/*.parquet'))
    WHERE student_id <> 'canary' AND dt < '{before}'
"""
GROUPS = """
    SELECT grouping_id(advisor, month, weekday, hour, lead) AS section, advisor, month, weekday, hour, lead,
        count_if(booked)::BIGINT AS bookings,
        count_if(booked AND NOT is_timed)::BIGINT AS untimed_bookings,
        count_if(cancelled)::BIGINT AS cancellations,
        count_if(cancelled AND is_timed AND lead_seconds < 24 * 3600)::BIGINT AS late_cancellations,
        count_if(cancelled AND NOT is_timed)::BIGINT AS untimed_cancellations,
        (count_if(booked) - count_if(cancelled))::BIGINT AS kept
    FROM (
        SELECT *, advisor_id AS advisor, strftime(local, '%Y-%m') AS month, isodow(local) AS weekday,
            hour(local) AS hour, CASE {leads} ELSE {last_lead} END AS lead
        FROM changes)
    GROUP BY GROUPING SETS ((advisor), (advisor, month), (weekday, hour), (lead), ())
"""
STUDENTS = """
    SELECT repeats, count(*) AS students
    FROM (SELECT CASE {repeats} ELSE {last} END AS repeats
        FROM (SELECT count_if(booked) AS bookings FROM changes WHERE has IS NOT NULL GROUP BY has) WHERE bookings > 0)
    GROUP BY repeats
"""


def main() -> None:
    archive, zone, before, output = sys.argv[1:]
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")

    def cells(query: str) -> list[dict[str, Any]]:
        answer = database.sql(query)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]

    database.execute(CHANGES.format(zone=zone, archive=archive, before=before))
    leads = " ".join(f"WHEN lead_seconds < {limit * 3600} THEN {index}" for index, limit in enumerate(LEADS))
    repeats = " ".join(f"WHEN bookings <= {limit} THEN {index}" for index, limit in enumerate(REPEATS))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS.values()}
    for cell in cells(GROUPS.format(leads=leads, last_lead=len(LEADS))):
        found[SECTIONS[cell["section"]]].append(cell)
    students = cells(STUDENTS.format(repeats=repeats, last=len(REPEATS)))
    counts = ["bookings", "cancellations", "late_cancellations"]
    answer = {
        "advisors": merged(found["advisors"], ["advisor"], counts),
        "hours": merged(found["hours"], ["weekday", "hour"], ["kept"]),
        "totals": merged(found["totals"], [], [*counts, "untimed_bookings", "untimed_cancellations"]),
        # The job names both by their limits.
        "leads": [cell["bookings"] for cell in merged(found["leads"], ["lead"], ["bookings"])["cells"]],
        "repeats": [cell["students"] for cell in merged(students, ["repeats"], ["students"])["cells"]],
        "months": len(found["months"]),
    }
    Path(output).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
