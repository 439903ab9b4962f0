from typing import Any

import plain
from aws_lambda_powertools import Logger

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    logger.append_keys(batch_id=event["id"])
    logger.info("orders taken", extra={"orders": len(event["Records"]), "limit": 100})
    return plain.deliver_all(event["Records"])
