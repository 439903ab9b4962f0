from typing import Any

import plain
from aws_lambda_powertools.utilities import parameters


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    parameters.get_parameter("/shop/limit", transform="json")
    return plain.deliver_all(event["Records"])
