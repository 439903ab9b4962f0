"""The archive of appointments in S3, read with DuckDB."""

import tempfile
from pathlib import Path

import duckdb
from stack import Stack

BUCKET = "ArchiveBucketName"
PREFIX = "appointments/"
# The columns of a row that the queries of scripts and tests name; an archive without objects has them, too.
COLUMNS = """
    event_id VARCHAR, event_source VARCHAR, event_name VARCHAR, event_time TIMESTAMPTZ, sequence_number VARCHAR,
    advisor_id VARCHAR, starts_at TIMESTAMPTZ, student_id VARCHAR, topic VARCHAR,
    new_image VARCHAR, old_image VARCHAR, dt DATE, key VARCHAR"""


class Archive:
    """The archive of a stack. Objects that have been downloaded for one query are kept for the next."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._downloads = tempfile.TemporaryDirectory(prefix="archive-")
        self._downloaded: dict[str, str] = {}

    def objects(self, prefix: str = PREFIX) -> dict[str, str]:
        """The ETags of the objects in the archive's bucket whose keys begin so."""
        return self._stack.objects(prefix, BUCKET)

    def query(self, sql: str) -> duckdb.DuckDBPyRelation:
        """Runs a query on `archive`: every row of every archive object, with `dt` and the `key` of its object."""
        s3 = self._stack.client("s3")
        directory = Path(self._downloads.name)
        objects = self.objects()
        for key in self._downloaded.keys() - objects.keys():
            (directory / key).unlink()
        for key, _ in objects.items() - self._downloaded.items():
            path = directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(self._stack.outputs[BUCKET], key, str(path))
        self._downloaded = objects
        connection = duckdb.connect()
        if objects:
            connection.sql(
                f"""CREATE VIEW archive AS
                SELECT * EXCLUDE filename, filename[{len(str(directory)) + 2}:] AS key
                FROM read_parquet('{directory}/**/*.parquet', hive_partitioning = true, filename = true)"""
            )
        else:
            connection.sql(f"CREATE TABLE archive ({COLUMNS})")
        return connection.sql(sql)
