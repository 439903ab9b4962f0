from typing import Any

import check_account_textbook
from aws_lambda_powertools import Logger, Metrics, Tracer

logger = Logger()
metrics = Metrics()
tracer = Tracer()


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    existing = check_account_textbook.handler(event, context)
    logger.info("address looked up", extra=existing)
    tracer.put_annotation("outcome", existing["outcome"])
    return existing
