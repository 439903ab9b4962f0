"""The memory that archive-appointments needs for the largest batch."""

import json
import os
from pathlib import Path

import pytest
from memory import invoke
from rooms import Room

RECORDS = 10_000
EVENT_BYTES = 6_000_000
ROOM = Room("appointments")
MEMORY_BYTES = ROOM.functions["ArchiveAppointments"]["Properties"]["MemorySize"] * 1024 * 1024


def largest_batch() -> bytes:
    """The maximum number of records in a batch, in the maximum bytes of an event."""

    def record(index: int, topic: str) -> dict[str, object]:
        key = {"advisor_id": {"S": f"advisor-{index % 50}"}, "starts_at": {"S": f"2030-05-06T{index % 24:02}:00:00Z"}}
        return {
            "eventID": f"{index:032x}",
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_170_600,
                "Keys": key,
                "NewImage": key | {"student_id": {"S": f"{index:036}"}, "topic": {"S": topic}},
                "SequenceNumber": str(10**20 + index),
                "SizeBytes": 200,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }

    padding = EVENT_BYTES // RECORDS - len(json.dumps(record(0, ""))) - 2
    # Text that hardly compresses.
    topics = (os.urandom(padding // 2).hex() for _ in range(RECORDS))
    return json.dumps({"Records": [record(index, topic) for index, topic in enumerate(topics)]}).encode()


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads Linux's /proc")
def test_the_largest_batch_fits_into_half_of_the_functions_memory() -> None:
    response, memory = invoke(ROOM, "ArchiveAppointments", largest_batch(), {})
    assert response == {"batchItemFailures": []}
    assert memory < MEMORY_BYTES / 2
