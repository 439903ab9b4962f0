from typing import Any

import plain
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

processor = BatchProcessor(event_type=EventType.SQS)


def deliver(record: SQSRecord) -> None:
    plain.deliver(record.body)


def handler(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, deliver, processor, context)
