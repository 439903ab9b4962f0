import os
from typing import Any

import boto3

accounts = boto3.resource("dynamodb").Table(os.environ["ACCOUNTS_TABLE"])


def get(account_key: str) -> dict[str, Any] | None:
    return accounts.get_item(
        Key={"account_key": account_key}, ProjectionExpression="student_id, unfinished", ConsistentRead=True
    ).get("Item")


def handler(event: dict[str, Any], context: Any) -> Any:
    email_item = get(f"EMAIL:{event['email']}")
    if email_item is None:
        return {"outcome": "NONE"}
    student = get(f"STUDENT:{email_item['student_id']}")
    return {"outcome": "ACCOUNT" if student and "unfinished" not in student else "UNFINISHED"}
