"""Compares every row of the archive with the ledger, and says where the two disagree.

docs/insights/check.md describes what it notices.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from insights_archive import COLUMNS, LEDGER, Archive, Problem, day, folder, run
from pyspark.sql import SparkSession

# Rows whose ids are compared in one query, which holds all of them in memory.
SLICE = 5_000_000
# The first 32 bits of a text's SHA-256, and the next. Sail can't convert 64 bits at once.
HIGH, LOW = (f"coalesce(CAST(conv(substring(sha2({{0}}, 256), {start}, 8), 16, 10) AS BIGINT), 0)" for start in (1, 9))
# An image that does not fit the table counts as none: `crates/archive/src/row.rs`.
FITS = """(
    get_json_object(old_image, '$.advisor_id.S') IS NOT NULL
    AND get_json_object(old_image, '$.student_id.S') IS NOT NULL
    AND try_cast(get_json_object(old_image, '$.starts_at.S') AS TIMESTAMP) IS NOT NULL
    AND (get_json_object(old_image, '$.topic') IS NULL OR get_json_object(old_image, '$.topic.NULL') IS NOT NULL
        OR get_json_object(old_image, '$.topic.S') IS NOT NULL))"""
# Whether a row's columns say what its newer image says.
AGREES = """(
    event_name = CASE WHEN old_image IS NULL THEN 'INSERT' WHEN new_image IS NULL THEN 'REMOVE' ELSE 'MODIFY' END
    AND dt = date_format(event_time, 'yyyy-MM-dd')
    AND advisor_id = get_json_object(image, '$.advisor_id.S')
    AND student_id = get_json_object(image, '$.student_id.S')
    AND topic <=> get_json_object(image, '$.topic.S')
    AND starts_at = date_trunc('MILLISECOND', try_cast(get_json_object(image, '$.starts_at.S') AS TIMESTAMP)))"""
ROWS = f"""
    SELECT dt, day,
        count(*) AS rows,
        count(DISTINCT event_id) AS ids,
        count_if(NOT ({{is_complete}})) AS incomplete,
        count_if(NOT coalesce({AGREES}, false)) AS altered,
        sum(new) - sum(old) AS net,
        sum(new * {HIGH.format("new_image")} - old * {HIGH.format("old_image")}) AS high,
        sum(new * {LOW.format("new_image")} - old * {LOW.format("old_image")}) AS low
    FROM (
        SELECT *,
            coalesce(new_image, old_image) AS image,
            date_format(starts_at, 'yyyy-MM-dd') AS day,
            CASE WHEN new_image IS NULL THEN 0 ELSE 1 END AS new,
            CASE WHEN old_image IS NULL OR new_image IS NOT NULL AND NOT {FITS} THEN 0 ELSE 1 END AS old
        FROM archive
        WHERE dt BETWEEN '{{first}}' AND '{{last}}')
    GROUP BY dt, day
"""
ENTRIES = """
    SELECT Item.dt.S AS dt, Item.object_key.S AS object, CAST(Item.row_count.N AS BIGINT) AS rows,
        CAST(Item.size_bytes.N AS BIGINT) AS bytes, Item.days.M AS days
    FROM items
    WHERE Item.dt.S < '{before}'
"""
LEDGER_SUMS = """
    SELECT dt, day,
        sum(CAST(substring_index(net.S, ' ', 1) AS BIGINT)) AS net,
        sum(CAST(conv(substring(substring_index(net.S, ' ', -1), 1, 8), 16, 10) AS BIGINT)) AS high,
        sum(CAST(conv(substring(substring_index(net.S, ' ', -1), 9, 8), 16, 10) AS BIGINT)) AS low
    FROM entries LATERAL VIEW explode(days) exploded AS day, net
    GROUP BY dt, day
"""
# Below a day's folder, because Sail leaves out what is before the first.
OBJECTS = """
    SELECT coalesce(found.name, entered.name) AS name, found.bytes AS found, entered.bytes AS entered
    FROM (SELECT regexp_extract(path, '(dt=[^/]*/[^/]*)$', 1) AS name, length AS bytes FROM objects) found
    FULL OUTER JOIN (SELECT regexp_extract(object, '(dt=[^/]*/[^/]*)$', 1) AS name, bytes FROM entries) entered
        ON found.name = entered.name
    WHERE NOT found.bytes <=> entered.bytes AND coalesce(found.name, entered.name) < 'dt={before}'
"""


@dataclass(frozen=True)
class Net:
    """A sum of changes: `crates/archive/src/net.rs`."""

    count: int
    checksum: int

    @classmethod
    def of(cls, row: Any) -> "Net":
        return cls(row.net, ((row.high << 32) + row.low) % 2**64)

    def __str__(self) -> str:
        return f"{self.count:+} {self.checksum:016x}"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=folder, required=True, help="the folder of the days, …/appointments")
    parser.add_argument("--ledger", type=folder, required=True, help="the folder of the ledger's export, …/data")
    parser.add_argument("--output", type=folder, required=True, help="the folder for the answer")
    parser.add_argument("--before", type=day, required=True, help="the first UTC date whose changes are left out")
    return parser.parse_args(given)


def read_ledger(spark: SparkSession, path: str, before: str) -> dict[str, int]:
    """Makes the view `entries`; returns the number of rows that the ledger has for each day."""
    spark.read.schema(LEDGER).json(path).createOrReplaceTempView("items")
    spark.sql(ENTRIES.format(before=before)).createOrReplaceTempView("entries")
    return {row.dt: row.rows for row in spark.sql("SELECT dt, sum(rows) AS rows FROM entries GROUP BY dt").collect()}


def slices(rows: dict[str, int]) -> Iterator[tuple[str, str]]:
    """The first and the last of consecutive days, which have at most SLICE rows or are one day."""
    first = last = ""
    total = 0
    for one in sorted(rows):
        if first and total + rows[one] > SLICE:
            yield first, last
            first, total = "", 0
        first, last, total = first or one, one, total + rows[one]
    if first:
        yield first, last


def counted(spark: SparkSession, archive: Archive, days: dict[str, int]) -> list[Any]:
    """What the rows of each day add up to, by the date of the appointment."""
    archive.rows().createOrReplaceTempView("archive")
    queries = [ROWS.format(first=first, last=last, is_complete=archive.is_complete) for first, last in slices(days)]
    return [row for query in queries for row in spark.sql(query).collect()]


def check(spark: SparkSession, given: argparse.Namespace) -> dict[str, Any]:
    archive = Archive(spark, given.archive, COLUMNS, given.before)
    entered = read_ledger(spark, given.ledger, given.before)
    # A day without an entry counts, too.
    days = dict.fromkeys(archive.days, 0) | entered
    problems: list[Problem] = []
    try:
        found = counted(spark, archive, days)
        is_sound = not any(row.incomplete for row in found)
    except Exception:
        # Both engines have many types for what a damaged object causes.
        is_sound = False
    if not is_sound:
        problems = archive.without_faults()
        found = counted(spark, archive, days)
    problems += archive.empty_days()
    differences = list(compared(found, entered, spark.sql(LEDGER_SUMS).collect()))
    archive.objects(given.archive).createOrReplaceTempView("objects")
    for row in spark.sql(OBJECTS.format(before=given.before)).collect():
        differences.append({"kind": "object", "object": row.name, "archive": row.found, "ledger": row.entered})
    differences.sort(key=lambda one: [one["kind"], one.get("dt", ""), one.get("day", ""), one.get("object", "")])
    counts = {"rows": sum(row.rows for row in found), "days": len(days)}
    return {"job": "check", "before": given.before, "differences": differences, "problems": problems} | counts


def compared(found: list[Any], entered: dict[str, int], sums: list[Any]) -> Iterator[dict[str, Any]]:
    """The differences between the rows and the ledger."""
    rows: dict[str, int] = {}
    for row in found:
        rows[row.dt] = rows.get(row.dt, 0) + row.rows
        if row.rows != row.ids:
            yield {"kind": "repeated rows", "dt": row.dt, "day": row.day, "archive": row.rows, "distinct": row.ids}
        if row.altered:
            yield {"kind": "altered rows", "dt": row.dt, "day": row.day, "archive": row.altered}
    for dt in rows.keys() | entered.keys():
        if rows.get(dt, 0) != entered.get(dt, 0):
            yield {"kind": "rows", "dt": dt, "archive": rows.get(dt, 0), "ledger": entered.get(dt, 0)}
    nets = {(row.dt, row.day): Net.of(row) for row in found}
    entries = {(row.dt, row.day): Net.of(row) for row in sums}
    nothing = Net(0, 0)
    for key in nets.keys() | entries.keys():
        net, entry = nets.get(key, nothing), entries.get(key, nothing)
        if net != entry:
            yield {"kind": "sums", "dt": key[0], "day": key[1], "archive": str(net), "ledger": str(entry)}


if __name__ == "__main__":
    run(check, arguments())
