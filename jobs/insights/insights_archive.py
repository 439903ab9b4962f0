"""What the jobs share: the archive's rows and objects, and how a job answers. EMR Serverless gets it by `--py-files`.

It runs on Spark 4.1 and, in the local cloud, on Sail, which implements Spark Connect. Comments name what Sail lacks.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

# docs/appointments/archive.md. Explicit, because an archive can hold objects of an older schema.
COLUMNS = {
    "event_id": "STRING",
    "event_source": "STRING",
    "event_name": "STRING",
    "sequence_number": "STRING",
    "event_time": "TIMESTAMP",
    "advisor_id": "STRING",
    "starts_at": "TIMESTAMP",
    "student_id": "STRING",
    "topic": "STRING",
    "new_image": "STRING",
    "old_image": "STRING",
}
OPTIONAL = {"topic", "new_image", "old_image"}
STREAM = "aws:dynamodb"
# As DynamoDB exports the ledger: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
LEDGER = """
    Item STRUCT<
        dt: STRUCT<S: STRING>, object_key: STRUCT<S: STRING>, row_count: STRUCT<N: STRING>,
        size_bytes: STRUCT<N: STRING>, days: STRUCT<M: MAP<STRING, STRUCT<S: STRING>>>>
"""
Problem = dict[str, str]


def session() -> SparkSession:
    """The session of EMR Serverless, or that of the server in SPARK_REMOTE."""
    spark = SparkSession.builder.getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # The archive's own type; Spark's default is an obsolete one.
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MILLIS")
    return spark


def folder(text: str) -> str:
    """A path or an address, without a slash at its end: Sail refuses two slashes."""
    return text.rstrip("/")


def folder_of(path: str) -> str:
    return path.rsplit("/", 1)[0]


def day(text: str) -> str:
    """A date, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date, YYYY-MM-DD") from None


def run(job: Callable[[SparkSession, argparse.Namespace], dict[str, Any]], given: argparse.Namespace) -> None:
    """Writes a job's document as the only line of the only text file with lines in `given.output`."""
    spark = session()
    try:
        line = json.dumps(job(spark, given), ensure_ascii=False, sort_keys=True)
        spark.createDataFrame([(line,)], "value STRING").coalesce(1).write.mode("overwrite").text(given.output)
    finally:
        # Without it, a job on Sail would not end.
        spark.stop()


class Archive:
    """The archive below a folder, and optionally a compacted copy of some of its days.

    `columns` are those that a job reads: an object without a required one of them is left out, and named.
    """

    def __init__(
        self, spark: SparkSession, root: str, columns: Iterable[str], before: str, compacted: str | None = None
    ) -> None:
        self._spark, self.columns = spark, list(columns)
        self.required = [name for name in self.columns if name not in OPTIONAL]
        self._schema = ", ".join(f"{name} {COLUMNS[name]}" for name in self.columns)
        self._root, self._before = root, before
        # In SQL, whether a row has all that a job needs: one of an object of an older schema may not.
        self.is_complete = " AND ".join(f"{name} IS NOT NULL" for name in self.required)
        # Where each day is read.
        self._roots = dict.fromkeys(self._days_of(root), root)
        if compacted:
            self._roots |= dict.fromkeys(self._days_of(compacted), compacted)
        self._faulty: list[str] = []

    @property
    def days(self) -> set[str]:
        """The days that have an object."""
        return set(self._roots)

    def objects(self, root: str) -> DataFrame:
        """The path and length of each object below a folder; Sail leaves out what is before the first folder."""
        found = self._spark.read.format("binaryFile").load(root).where("path LIKE '%.parquet'")
        # Sail names an object twice if two of its tasks share the object's bytes.
        return found.select("path", "length").distinct()

    def rows(self) -> DataFrame:
        """The rows of all days, without those of faulty objects. `dt` is the UTC date of the change.

        Ends the job if there is no object: then, the fault is not an object's.
        """
        faulty_days = {folder_of(path) for path in self._faulty}
        parts = []
        for root in set(self._roots.values()):
            days = {dt for dt, one in self._roots.items() if one == root and f"{root}/dt={dt}" not in faulty_days}
            if days:
                rows = self._spark.read.schema(f"{self._schema}, dt STRING").parquet(root)
                parts.append(rows.where(f"dt IN ({', '.join(map(repr, sorted(days)))})"))
        for path in sorted(faulty_days):
            if objects := [one for one in self._objects_of(path) if one not in self._faulty]:
                parts.append(self._read(objects).selectExpr("*", f"'{path[-10:]}' AS dt"))
        if not parts:
            raise SystemExit(f"no object with {', '.join(self.required)} can be read below {self._root}")
        return reduce(DataFrame.union, parts)

    def without_faults(self) -> list[Problem]:
        """Leaves out the faulty objects from now on, and names them."""
        days = self._search([f"{root}/dt={dt}" for dt, root in sorted(self._roots.items())])
        self._faulty = [path for one in days for path in self._search(self._objects_of(one))]
        return [{"kind": "object left out", "what": path[path.rindex("/dt=") + 1 :]} for path in self._faulty]

    def empty_days(self) -> list[Problem]:
        """The dates between the first day and the last that have no object: even the canary changed nothing."""
        first, last = date.fromisoformat(min(self.days)), date.fromisoformat(max(self.days))
        dates = (first + timedelta(days=number) for number in range((last - first).days))
        return [{"kind": "empty day", "what": str(one)} for one in dates if str(one) not in self.days]

    def _days_of(self, root: str) -> set[str]:
        try:
            listed = self.objects(root).selectExpr("regexp_extract(path, 'dt=([0-9-]{10})/', 1) AS dt").distinct()
            days = {row.dt for row in listed.collect()}
        except AnalysisException as error:
            # Sail finds no objects instead.
            if error.getCondition() != "PATH_NOT_FOUND":
                raise
            days = set()
        return {dt for dt in days if dt and dt < self._before}

    def _objects_of(self, folder: str) -> list[str]:
        names = (row.path.rsplit("/", 1)[1] for row in self.objects(folder).collect())
        return [f"{folder}/{name}" for name in sorted(names)]

    def _read(self, paths: list[str]) -> DataFrame:
        """Without `dt`: Sail has no value for it if there are several paths."""
        return self._spark.read.schema(self._schema).parquet(*paths)

    def _search(self, paths: list[str]) -> list[str]:
        """Those of the paths that have a fault: by halves, so one fault in a thousand objects takes twenty queries."""
        if not paths or self._is_sound(paths):
            return []
        if len(paths) == 1:
            return paths
        middle = len(paths) // 2
        return self._search(paths[:middle]) + self._search(paths[middle:])

    def _is_sound(self, paths: list[str]) -> bool:
        try:
            # The hash needs every value; a count alone could come from the footers.
            query = f"count_if({self.is_complete})", f"max(xxhash64({', '.join(self.columns)}))"
            [[rows, complete, _]] = self._read(paths).selectExpr("count(*)", *query).collect()
        except Exception:
            # Both engines have many types for what a damaged object causes.
            return False
        return rows == complete
