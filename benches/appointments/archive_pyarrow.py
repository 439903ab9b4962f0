"""Parquet with pyarrow: one object for each date of a batch, named by its first record."""

import json
import os
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

time = pa.timestamp("ms", tz="UTC")
schema = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_source", pa.string(), nullable=False),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("event_time", time, nullable=False),
        pa.field("advisor_id", pa.string(), nullable=False),
        pa.field("starts_at", time, nullable=False),
        pa.field("student_id", pa.string(), nullable=False),
        pa.field("topic", pa.string()),
        pa.field("new_image", pa.string()),
        pa.field("old_image", pa.string()),
    ]
)
s3 = boto3.client("s3")
bucket = os.environ["ARCHIVE_BUCKET"]


def row(record: dict[str, Any]) -> dict[str, Any]:
    change = record["dynamodb"]
    new, old = change.get("NewImage"), change.get("OldImage")
    image = new or old
    return {
        "event_id": record["eventID"],
        "event_source": record["eventSource"],
        "event_name": record["eventName"],
        "sequence_number": change["SequenceNumber"],
        "event_time": datetime.fromtimestamp(change["ApproximateCreationDateTime"], timezone.utc),
        "advisor_id": image["advisor_id"]["S"],
        "starts_at": datetime.fromisoformat(image["starts_at"]["S"].replace("Z", "+00:00")),
        "student_id": image["student_id"]["S"],
        "topic": image.get("topic", {}).get("S"),
        "new_image": new and json.dumps(new),
        "old_image": old and json.dumps(old),
    }


def handler(event: dict[str, Any], context: Any) -> Any:
    for date, rows in groupby(map(row, event["Records"]), lambda row: row["event_time"].date()):
        changes = list(rows)
        output = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(changes, schema), output, compression="zstd")
        first = changes[0]
        key = f"appointments/dt={date}/{first['sequence_number']}-{first['event_id']}.parquet"
        s3.put_object(Bucket=bucket, Key=key, Body=output.getvalue().to_pybytes())
    return {"batchItemFailures": []}
