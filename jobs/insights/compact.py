"""Writes one object for each closed day of the archive to a staging folder, and checks it. The originals stay.

A day of several objects is compacted if the compacted folder has another number of its rows than the ledger. Publishing
is not part of the job: docs/insights/compaction.md.
"""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from check import HIGH, LOW, read_ledger
from insights_archive import COLUMNS, Archive, Problem, day, folder, run
from pyspark.sql import DataFrame, SparkSession

# Sums over all columns of the rows, in any order. Neither separator is in a text of the archive.
TEXTS = ", ".join(f"coalesce(CAST({name} AS STRING), '\\u0001')" for name in COLUMNS)
DIGESTS = f"""
    SELECT dt, count(*) AS rows, sum({HIGH.format("text")}) AS high, sum({LOW.format("text")}) AS low
    FROM (SELECT dt, concat_ws('\\u0002', {TEXTS}) AS text FROM compared)
    GROUP BY dt
"""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=folder, required=True, help="the folder of the days, …/appointments")
    parser.add_argument("--ledger", type=folder, required=True, help="the folder of the ledger's export, …/data")
    parser.add_argument("--compacted", type=folder, required=True, help="the folder of the compacted days")
    parser.add_argument("--staging", type=folder, required=True, help="a folder that does not exist yet")
    parser.add_argument("--output", type=folder, required=True, help="the folder for the answer")
    parser.add_argument("--before", type=day, required=True, help="the first UTC date that is not closed")
    return parser.parse_args(given)


def digests(rows: DataFrame) -> dict[str, tuple[int, int, int]]:
    rows.createOrReplaceTempView("compared")
    return {row.dt: (row.rows, row.high, row.low) for row in rows.sparkSession.sql(DIGESTS).collect()}


def compact(spark: SparkSession, given: argparse.Namespace) -> dict[str, Any]:
    archive = Archive(spark, given.archive, COLUMNS, given.before)
    entered = read_ledger(spark, given.ledger, given.before)
    compacted = rows_of_days(spark, given.compacted, given.before)
    several = {row.dt for row in spark.sql("SELECT dt FROM entries GROUP BY dt HAVING count(*) > 1").collect()}
    wanted = {dt: rows for dt, rows in entered.items() if dt in several and rows != compacted.get(dt, 0)}
    problems: list[Problem] = []
    try:
        # In its first two weeks, an archive has no closed day.
        found = digests(chosen(archive, wanted)) if wanted else {}
    except Exception:
        # Both engines have many types for what a damaged object causes.
        problems = archive.without_faults()
        found = digests(chosen(archive, wanted))
    ready = {dt: found[dt] for dt, rows in wanted.items() if dt in found and found[dt][0] == rows}
    left_out = [
        {"dt": dt, "archive": found[dt][0] if dt in found else 0, "ledger": rows}
        for dt, rows in sorted(wanted.items())
        if dt not in ready
    ]
    if ready:
        write(chosen(archive, ready), given.staging)
        check_staged(spark, given, ready)
    return {
        "job": "compact",
        "before": given.before,
        "days": [{"dt": dt, "rows": ready[dt][0]} for dt in sorted(ready)],
        "left_out": left_out,
        "problems": problems,
    }


def rows_of_days(spark: SparkSession, root: str, before: str) -> dict[str, int]:
    compacted = Archive(spark, root, ["event_time"], before)
    if not compacted.days:
        return {}
    return {row.dt: row["count"] for row in compacted.rows().groupBy("dt").count().collect()}


def chosen(archive: Archive, days: Iterable[str]) -> DataFrame:
    listed = ", ".join(f"'{dt}'" for dt in sorted(days))
    return archive.rows().where(f"dt IN ({listed})") if listed else archive.rows().limit(0)


def write(rows: DataFrame, staging: str) -> None:
    """Writes one object for each day; refuses if the folder exists, because another attempt could be writing to it."""
    sorted_rows = rows.repartition("dt").sortWithinPartitions("dt", "event_time", "sequence_number")
    sorted_rows.write.option("compression", "zstd").partitionBy("dt").parquet(staging)


def check_staged(spark: SparkSession, given: argparse.Namespace, days: dict[str, tuple[int, int, int]]) -> None:
    """Ends the job if the staged days are not those of the archive, row for row, with one object for each."""
    staged = Archive(spark, given.staging, COLUMNS, given.before)
    objects = [row.path.rsplit("/", 2)[1] for row in staged.objects(given.staging).collect()]
    if sorted(objects) != [f"dt={dt}" for dt in sorted(days)]:
        raise SystemExit(f"{given.staging} has {len(objects)} objects for {len(days)} days: nothing can be published")
    found = digests(staged.rows())
    if different := sorted(dt for dt in days if found.get(dt) != days[dt]):
        raise SystemExit(
            f"{given.staging} differs from the archive on {', '.join(different)}: nothing can be published"
        )


if __name__ == "__main__":
    run(compact, arguments())
