from typing import Any

import plain
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

logger = Logger()
metrics = Metrics()
tracer = Tracer()
processor = BatchProcessor(event_type=EventType.SQS)
config = IdempotencyConfig(event_key_jmespath="id")


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> Any:
    logger.append_keys(batch_id=event["id"])
    tracer.put_annotation("batch_id", event["id"])
    metrics.add_dimension("country", "AT")
    metrics.add_metric("Batches", MetricUnit.Count, 1)
    metrics.add_metric("Orders", MetricUnit.Count, len(event["Records"]))
    limit = parameters.get_parameter("/shop/limit", transform="json")
    logger.info("orders taken", extra={"orders": len(event["Records"]), "limit": limit})
    config.register_lambda_context(context)
    return deliver_once(event=event, context=context)


@idempotent_function(
    data_keyword_argument="event",
    persistence_store=DynamoDBPersistenceLayer(table_name="idempotency"),
    config=config,
)
@tracer.capture_method
def deliver_once(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, deliver, processor, context)


def deliver(record: SQSRecord) -> None:
    plain.deliver(record.body)
