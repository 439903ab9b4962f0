import os
import secrets
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer

dynamodb = boto3.client("dynamodb")
cognito = boto3.client("cognito-idp")
serialize = TypeSerializer().serialize


def put(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "Put": {
            "TableName": os.environ["ACCOUNTS_TABLE"],
            "ConditionExpression": "attribute_not_exists(account_key)",
            "Item": {name: serialize(value) for name, value in item.items()},
        }
    }


def handler(event: dict[str, Any], context: Any) -> Any:
    student_id, account = event["student_id"], event["account"]
    key = {"account_key": f"STUDENT:{student_id}", "student_id": student_id}
    dynamodb.transact_write_items(
        ClientRequestToken=student_id,
        TransactItems=[
            put(key | account | {"created_at": event["created_at"], "unfinished": "true"}),
            put({"account_key": f"EMAIL:{account['email']}", "student_id": student_id}),
        ],
    )
    user = {"UserPoolId": os.environ["USER_POOL_ID"], "Username": account["email"]}
    cognito.admin_create_user(
        **user,
        MessageAction="SUPPRESS",
        UserAttributes=[
            {"Name": "email", "Value": account["email"]},
            {"Name": "email_verified", "Value": "true"},
            {"Name": "custom:student_id", "Value": student_id},
        ],
    )
    cognito.admin_set_user_password(**user, Password=f"aA1-{secrets.token_urlsafe(30)}", Permanent=True)
    return {"student_id": student_id, "created": True}
