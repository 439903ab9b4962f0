from typing import Any

import plain
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

metrics = Metrics()


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    metrics.add_dimension("country", "AT")
    metrics.add_metric("Batches", MetricUnit.Count, 1)
    metrics.add_metric("Orders", MetricUnit.Count, len(event["Records"]))
    return plain.deliver_all(event["Records"])
