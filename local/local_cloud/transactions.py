"""DynamoDB's transactions conflict with other writes of the same items at the same time, and read no empty keys.

MiniStack does one request after the other, so that none would ever conflict. Here a transaction holds its items for a
moment; a transaction or a single write that comes meanwhile is refused in AWS's words.
"""

import asyncio
import json
from typing import Any

from ministack.core.responses import error_response_json, get_region
from ministack.services import dynamodb

SECONDS_TO_COMMIT = 0.005

_SINGLE_WRITES = ("PutItem", "UpdateItem", "DeleteItem")
_TRANSACTIONS = ("TransactWriteItems", "TransactGetItems")

Item = tuple[str, str, str]

_held: set[Item] = set()
_handle = dynamodb.handle_request


def _item(request: dict[str, Any]) -> Item:
    table = request["TableName"]
    names = [key["AttributeName"] for key in dynamodb._tables[table]["KeySchema"]]
    attributes = request.get("Key") or request["Item"]
    return get_region(), table, json.dumps([attributes[name] for name in names])


def _items(action: str, body: bytes) -> list[Item]:
    """The items of a write or a transaction, in order; none of a request that MiniStack will refuse."""
    try:
        request = json.loads(body)
        if action in _SINGLE_WRITES:
            return [_item(request)]
        return [_item(part) for member in request["TransactItems"] for part in member.values()]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def _empty_key(body: bytes) -> tuple[int, dict[str, str], bytes] | None:
    """The refusal of a transaction that reads an empty key, which MiniStack would not find."""
    keys = [member.get("Get", {}).get("Key", {}) for member in json.loads(body).get("TransactItems", [])]
    errors = [dynamodb._empty_key_value_error(name, value) for key in keys for name, value in key.items()]
    return next(filter(None, errors), None)


def _cancelled(items: list[Item]) -> tuple[int, dict[str, str], bytes]:
    conflict = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
    reasons = [conflict if item in _held else {"Code": "None"} for item in items]
    codes = ", ".join(reason["Code"] for reason in reasons)
    answer = {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": reasons,
        "Message": f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
    }
    return 400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(answer).encode()


async def _handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, *arguments: Any
) -> tuple[int, dict[str, str], bytes]:
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    items = _items(action, body) if action in (*_SINGLE_WRITES, *_TRANSACTIONS) else []
    if action == "TransactGetItems" and (refusal := _empty_key(body)):
        return refusal
    if _held.intersection(items):
        if action in _TRANSACTIONS:
            return _cancelled(items)
        return error_response_json("TransactionConflictException", "Transaction is ongoing for the item", 400)
    if action != "TransactWriteItems":
        return await _handle(method, path, headers, body, *arguments)
    _held.update(items)
    try:
        await asyncio.sleep(SECONDS_TO_COMMIT)
        return await _handle(method, path, headers, body, *arguments)
    finally:
        _held.difference_update(items)


def install() -> None:
    dynamodb.handle_request = _handle_request
