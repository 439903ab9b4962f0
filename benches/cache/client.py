"""Asks through the official client for Python, as `dax-bench` does: python client.py ENDPOINT OPERATION REQUESTS."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import botocore.session
from amazondax import AmazonDaxClient

KEY = {"advisor_id": {"S": "advisor-17"}, "starts_at": {"S": "2026-09-01T09:00:00Z"}}
QUERY = {
    "ProjectionExpression": "starts_at",
    "KeyConditionExpression": "advisor_id = :advisor_id AND starts_at >= :position",
    "ExpressionAttributeValues": {":advisor_id": {"S": "advisor-17"}, ":position": {"S": "2026-09-01"}},
    "Limit": 25,
}


def asking(dax: AmazonDaxClient, operation: str) -> Callable[[], Any]:
    if operation == "get":
        return lambda: dax.get_item(TableName="appointments", Key=KEY)["Item"]
    return lambda: dax.query(TableName="appointments", **QUERY)["Items"]


def main() -> None:
    _, endpoint, operation, count = sys.argv
    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    start = time.perf_counter()
    ask = asking(AmazonDaxClient(session, region_name="us-east-1", endpoints=[endpoint]), operation)
    found = len(ask())
    first = time.perf_counter() - start
    requests = int(count)
    for _ in range(requests // 10):
        ask()
    start = time.process_time()
    for _ in range(requests):
        ask()
    used = time.process_time() - start
    print(json.dumps({"found": found, "first_us": first * 1e6, "cpu_us": used * 1e6 / max(requests, 1)}), flush=True)
    # The client's threads would keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
