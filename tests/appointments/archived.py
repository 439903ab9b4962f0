"""The appointments table, and the archive's rows of its changes."""

import json
import time
from functools import cache
from typing import Any

from archive import BUCKET, Archive
from boto3.dynamodb.types import TypeSerializer
from stack import Stack, wait_until

Item = dict[str, Any]


class Table:
    """The appointments table, without the API."""

    def __init__(self, stack: Stack) -> None:
        self.dynamodb = stack.client("dynamodb")
        self.name = stack.outputs["AppointmentsTableName"]

    def put(self, items: list[Item]) -> None:
        serialize = TypeSerializer().serialize
        requests = [
            {"PutRequest": {"Item": {name: serialize(value) for name, value in item.items()}}} for item in items
        ]
        self._write(requests)

    def delete(self, items: list[Item]) -> None:
        serialize = TypeSerializer().serialize
        keys = [{name: serialize(item[name]) for name in ("advisor_id", "starts_at")} for item in items]
        self._write([{"DeleteRequest": {"Key": key}} for key in keys])

    def _write(self, requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), 25):
            left = {self.name: requests[start : start + 25]}
            while left:
                left = self.dynamodb.batch_write_item(RequestItems=left)["UnprocessedItems"]


def appointments(advisor: str, count: int) -> list[Item]:
    """Appointments with one advisor, a minute apart."""

    def starts_at(index: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(1_900_000_000 // 60 * 60 + 60 * index))

    return [
        {
            "advisor_id": advisor,
            "starts_at": starts_at(index),
            "student_id": f"student-{index}",
            "topic": f"é😀 {index}",
        }
        for index in range(count)
    ]


@cache
def archive_of(stack: Stack) -> Archive:
    """One archive for all tests, so that each object is downloaded once."""
    return Archive(stack)


def archived(stack: Stack, advisor: str) -> int:
    [count] = archive_of(stack).query(f"SELECT count(*) FROM archive WHERE advisor_id = '{advisor}'").fetchone()
    return count


def assert_archived_exactly_once(stack: Stack, advisor: str, count: int) -> None:
    wait_until(lambda: archived(stack, advisor) >= count, f"{count} changes are archived")
    rows = (
        archive_of(stack)
        .query(f"SELECT count(*), count(DISTINCT event_id) FROM archive WHERE advisor_id = '{advisor}'")
        .fetchone()
    )
    assert rows == (count, count)


def bodies(stack: Stack, prefix: str = "", bucket: str = BUCKET) -> dict[str, bytes]:
    s3, name = stack.client("s3"), stack.outputs[bucket]
    return {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in stack.objects(prefix, bucket)}


def quarantined(stack: Stack, advisor: str) -> list[dict[str, Any]]:
    entries = [entry for body in bodies(stack, "quarantine/").values() for entry in json.loads(body)]
    return [entry for entry in entries if entry["record"]["dynamodb"]["Keys"]["advisor_id"]["S"] == advisor]
