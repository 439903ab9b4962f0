"""One object for each record, as in tutorials."""

import json
import os
from datetime import datetime, timezone
from typing import Any

import boto3

s3 = boto3.client("s3")
bucket = os.environ["ARCHIVE_BUCKET"]


def handler(event: dict[str, Any], context: Any) -> Any:
    for record in event["Records"]:
        time = datetime.fromtimestamp(record["dynamodb"]["ApproximateCreationDateTime"], timezone.utc)
        key = f"appointments/dt={time:%Y-%m-%d}/{record['eventID']}.json"
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(record))
    return {"batchItemFailures": []}
