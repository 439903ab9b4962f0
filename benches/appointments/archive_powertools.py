"""One object for each record, with Powertools' batch processing."""

import json
import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(event_type=EventType.DynamoDBStreams)
s3 = boto3.client("s3")
bucket = os.environ["ARCHIVE_BUCKET"]


def archive(record: DynamoDBRecord) -> None:
    change = record.dynamodb
    time = change.approximate_creation_date_time
    image = change.new_image or change.old_image
    body = json.dumps({"event_id": record.event_id, "event_name": record.event_name.name, "event_time": time, **image})
    s3.put_object(Bucket=bucket, Key=f"appointments/{time}/{record.event_id}.json", Body=body)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    response = process_partial_response(event, archive, processor, context)
    metrics.add_metric("ArchivedRecords", MetricUnit.Count, len(event["Records"]))
    return response
