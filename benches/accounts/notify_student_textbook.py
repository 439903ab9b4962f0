import json
import os
from typing import Any

import boto3

events = boto3.client("events")
accounts = boto3.resource("dynamodb").Table(os.environ["ACCOUNTS_TABLE"])


def handler(event: dict[str, Any], context: Any) -> Any:
    detail = json.dumps({"student_id": event["student_id"]})
    entry = {"Source": "registrar.accounts", "DetailType": "AccountCreated", "Detail": detail}
    events.put_events(Entries=[entry | {"EventBusName": os.environ["EVENT_BUS"]}])
    accounts.update_item(
        Key={"account_key": f"STUDENT:{event['student_id']}"},
        UpdateExpression="REMOVE unfinished",
        ConditionExpression="attribute_exists(account_key)",
    )
    return {"student_id": event["student_id"]}
