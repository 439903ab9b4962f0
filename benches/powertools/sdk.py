"""Makes idempotency's calls of DynamoDB by hand, without any utility."""

from typing import Any

import boto3

dynamodb = boto3.client("dynamodb")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    key = {"id": {"S": event["id"]}}
    dynamodb.put_item(TableName="idempotency", Item=key, ConditionExpression="attribute_not_exists(id)")
    dynamodb.update_item(
        TableName="idempotency",
        Key=key,
        UpdateExpression="SET done = :done",
        ExpressionAttributeValues={":done": {"BOOL": True}},
    )
    return {"batchItemFailures": []}
