"""`archive-appointments`, compared with other ways to archive a stream."""

import json
import random
import uuid
from pathlib import Path

from measuring import Case, Function, node, python
from pricing import setting

HERE = Path(__file__).parent
POWERTOOLS = ["aws-lambda-powertools", "jmespath", "typing-extensions"]
MOST_BYTES = 6 * 1024 * 1024
"""The largest batch that one invocation can get."""


def stream_event(records: int) -> bytes:
    """Bookings, with one cancellation in ten, as records of the appointments table's stream."""
    seed = random.Random(1)
    topics = [{"topic": {"S": "Choosing a thesis"}}, {"topic": {"S": "Part-time study"}}, {}, {}]

    def record(number: int) -> dict[str, object]:
        key = {
            "advisor_id": {"S": f"a-{seed.randrange(500):03}"},
            "starts_at": {"S": f"2026-12-{1 + number % 28:02}T{8 + number % 10:02}:{seed.randrange(4) * 15:02}:00Z"},
        }
        removed = number % 10 == 9
        return {
            "eventID": uuid.UUID(int=seed.getrandbits(128)).hex,
            "eventName": "REMOVE" if removed else "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_795_170_600 + number // 200,
                "Keys": key,
                "OldImage" if removed else "NewImage": key
                | {"student_id": {"S": str(uuid.UUID(int=seed.getrandbits(128), version=4))}}
                | seed.choice(topics),
                "SequenceNumber": str(4_421_584_500_000_000_017_450_439_091 + 71 * number),
                "SizeBytes": 180,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/a/stream/2026-11-20T10:00:00.000",
        }

    event = json.dumps({"Records": [record(number) for number in range(records)]}, separators=(",", ":")).encode()
    assert len(event) <= MOST_BYTES
    return event


def peers(packages: Path) -> dict[str, Function]:
    return {
        "Python, textbook": python(HERE, "archive_textbook", packages),
        "Python, Powertools": python(HERE, "archive_powertools", packages, *POWERTOOLS),
        "Python, pyarrow": python(HERE, "archive_pyarrow", packages, "pyarrow"),
        "Node, Powertools": node(HERE / "archive.mjs"),
    }


CASES = [
    Case(
        name="archive",
        binary="archive-appointments",
        environment={"ARCHIVE_BUCKET": "archive"},
        tuning={"GLIBC_TUNABLES": setting("appointments", "ArchiveAppointments", "GLIBC_TUNABLES")},
        answer={"batchItemFailures": []},
        event=stream_event,
        records=[1, 10, 100, 1_000, 10_000],
        peers=peers,
        most_cpu={
            1: {"Python, Powertools": 1 / 8},
            10_000: {"Python, textbook": 1 / 600, "Python, Powertools": 1 / 600, "Python, pyarrow": 1 / 10},
        },
        most_memory=64_000_000,
    )
]
