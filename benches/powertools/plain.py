"""Takes the orders of a queue without any utility: the baseline for the others."""

import json
from typing import Any


def deliver_all(records: list[dict[str, Any]]) -> dict[str, Any]:
    for record in records:
        deliver(record["body"])
    return {"batchItemFailures": []}


def deliver(body: str) -> None:
    if json.loads(body)["items"] == 0:
        raise ValueError("an order has to have items")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return deliver_all(event["Records"])
