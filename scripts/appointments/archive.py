"""Reads the archive in S3 with DuckDB, for any table."""

import re
import tempfile
from pathlib import Path

import duckdb
from stack import Stack

BUCKET = "ArchiveBucketName"


class Archive:
    """The archive of a stack. Objects that were downloaded for one query are kept for the next."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._downloads = tempfile.TemporaryDirectory(prefix="archive-")
        self._downloaded: dict[str, str] = {}

    def objects(self) -> dict[str, str]:
        """The ETags of the archive's objects."""
        return {key: etag for key, etag in self._stack.objects("", BUCKET).items() if key.endswith(".parquet")}

    def quarantine(self) -> dict[str, str]:
        """The ETags of the objects in quarantine."""
        return self._stack.objects("quarantine/", BUCKET)

    def query(self, sql: str) -> duckdb.DuckDBPyRelation:
        """Executes a query on `archive`: every row of every archive object, with `dt` and the `key` of its object."""
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
            # There is no object to tell the columns, so every word of the query becomes a column without a type.
            columns = ", ".join(f'NULL AS "{name}"' for name in {*re.findall(r"[a-z_]+", sql.lower())})
            connection.sql(f"CREATE VIEW archive AS SELECT {columns} WHERE false")
        return connection.sql(sql)
