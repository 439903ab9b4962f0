from typing import Any

import plain
from aws_lambda_powertools import Tracer

tracer = Tracer()
deliver_all = tracer.capture_method(plain.deliver_all)


@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    tracer.put_annotation("batch_id", event["id"])
    return deliver_all(event["Records"])
