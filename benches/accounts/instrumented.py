"""What Powertools adds to a function: a log line, a trace and a metric of cold starts."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

Handler = Callable[[dict[str, Any], Any], Any]

logger = Logger()
metrics = Metrics()
tracer = Tracer()


def instrumented(step: Handler, annotation: str) -> Handler:
    """The handler with Powertools. It logs the result, and annotates the trace with this field of it."""

    @logger.inject_lambda_context
    @tracer.capture_lambda_handler
    @metrics.log_metrics(capture_cold_start_metric=True)
    def handler(event: dict[str, Any], context: Any) -> Any:
        result = step(event, context)
        logger.info("step done", extra={annotation: result[annotation]})
        tracer.put_annotation(annotation, result[annotation])
        return result

    return handler
