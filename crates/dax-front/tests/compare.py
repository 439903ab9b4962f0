"""The official clients for Python and Node get through the front what the plain SDK gets from the endpoint itself.

Needs amazon-dax-client, and @amazon-dax-sdk/client-dax in NODE_PATH. AWS_ENDPOINT_URL is the DynamoDB endpoint,
DAX_ENDPOINT the front.
"""

import base64
import itertools
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import botocore.session
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

BY_SORT, BY_HASH, BY_NUMBER = "TABLE-sort", "TABLE-hash", "TABLE-number"


def of(tables: str, value: Any) -> Any:
    """Calls for tables of other names."""
    return json.loads(json.dumps(value, default=described).replace("TABLE-", tables), object_hook=bytes_of)


def create_tables(dynamodb: Any, tables: str) -> None:
    def create(name: str, *key: tuple[str, str], **more: Any) -> None:
        roles = zip(key, ("HASH", "RANGE"), strict=False)
        dynamodb.create_table(
            TableName=name.replace("TABLE-", tables),
            KeySchema=[{"AttributeName": attribute, "KeyType": role} for (attribute, _), role in roles],
            AttributeDefinitions=[
                {"AttributeName": attribute, "AttributeType": kind} for attribute, kind in (*key, *more.pop("also", ()))
            ],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )

    index = {
        "IndexName": "by-color",
        "KeySchema": [{"AttributeName": "color", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    create(BY_SORT, ("h", "S"), ("n", "N"), also=[("color", "S")], GlobalSecondaryIndexes=[index])
    create(BY_HASH, ("id", "S"))
    create(BY_NUMBER, ("id", "N"), ("s", "B"))


DOCUMENT = {
    "M": {
        "list": {"L": [{"S": "zero"}, {"N": "1"}, {"M": {"deep": {"BOOL": True}}}, {"L": [{"N": "3.5"}]}]},
        "none": {"NULL": True},
        "number": {"N": "12345678901234567890.5"},
        "large": {"N": "123456789012345678901234567890"},
    }
}


def item(n: int, **more: Any) -> dict:
    return {"h": {"S": "one"}, "n": {"N": str(n)}, "color": {"S": "red" if n % 2 else "blue"}, **more}


def calls() -> Iterator[tuple[str, dict]]:
    """Operation, parameters, in the order in which they are made."""
    full = {
        "document": DOCUMENT,
        "text": {"S": "é漢🙂"},
        "bytes": {"B": bytes(range(256))},
        "strings": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "-2.5"]},
        "binaries": {"BS": [b"\0", b"\xff"]},
        "true": {"BOOL": True},
        "empty": {"S": ""},
    }
    key = {"h": {"S": "one"}, "n": {"N": "1"}}
    yield "get_item", {"TableName": BY_SORT, "Key": key}
    yield "put_item", {"TableName": BY_SORT, "Item": item(1, **full)}
    yield "get_item", {"TableName": BY_SORT, "Key": key}
    yield "get_item", {"TableName": BY_SORT, "Key": key, "ConsistentRead": True}
    yield (
        "get_item",
        {
            "TableName": BY_SORT,
            "Key": key,
            "ProjectionExpression": "#d.#l[2].deep, #d.#l[0], h, absent, #t",
            "ExpressionAttributeNames": {"#d": "document", "#l": "list", "#t": "text"},
        },
    )
    yield "put_item", {"TableName": BY_SORT, "Item": item(1, version={"N": "2"}), "ReturnValues": "ALL_OLD"}
    condition = {
        "ConditionExpression": "attribute_not_exists(h) OR #v > :v",
        "ExpressionAttributeNames": {"#v": "version"},
        "ExpressionAttributeValues": {":v": {"N": "1"}},
    }
    yield "put_item", {"TableName": BY_SORT, "Item": item(1, version={"N": "1"}), **condition}
    yield "put_item", {"TableName": BY_SORT, "Item": item(1, version={"N": "0"}), **condition}
    for returned in ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"):
        yield (
            "update_item",
            {
                "TableName": BY_SORT,
                "Key": key,
                "UpdateExpression": "SET #v = if_not_exists(#v, :one) + :one, document = :d REMOVE gone ADD tally :one",
                "ConditionExpression": "attribute_exists(h) AND NOT (contains(color, :x) OR size(color) > :hundred)",
                "ExpressionAttributeNames": {"#v": "version"},
                "ExpressionAttributeValues": {
                    ":one": {"N": "1"},
                    ":d": {"M": {"returned": {"S": returned}}},
                    ":x": {"S": "x"},
                    ":hundred": {"N": "100"},
                },
                "ReturnValues": returned,
            },
        )
    yield "delete_item", {"TableName": BY_SORT, "Key": key, "ReturnValues": "ALL_OLD"}
    yield "delete_item", {"TableName": BY_SORT, "Key": key, "ReturnValues": "ALL_OLD"}
    for n in range(12):
        yield "put_item", {"TableName": BY_SORT, "Item": item(n * 5 - 20, version={"N": str(n)}, document=DOCUMENT)}
    query = {
        "TableName": BY_SORT,
        "KeyConditionExpression": "h = :h AND n BETWEEN :a AND :b",
        "ExpressionAttributeValues": {":h": {"S": "one"}, ":a": {"N": "-15"}, ":b": {"N": "20"}},
    }
    yield "query", query
    yield "query", {**query, "ScanIndexForward": False, "Limit": 3, "ConsistentRead": True}
    yield "query", {**query, "Select": "COUNT"}
    yield "query", {**query, "Limit": 2, "ExclusiveStartKey": {"h": {"S": "one"}, "n": {"N": "-10"}}}
    yield (
        "query",
        {
            **query,
            "FilterExpression": "#v IN (:v, :w)",
            "ProjectionExpression": "n, document.list[1]",
            "ExpressionAttributeNames": {"#v": "version"},
            "ExpressionAttributeValues": {
                **query["ExpressionAttributeValues"],
                ":v": {"N": "3"},
                ":w": {"N": "4"},
            },
        },
    )
    by_index = {
        "TableName": BY_SORT,
        "IndexName": "by-color",
        "KeyConditionExpression": "color = :c",
        "ExpressionAttributeValues": {":c": {"S": "red"}},
    }
    yield "query", by_index
    yield "query", {**by_index, "Limit": 2}
    start = {"h": {"S": "one"}, "n": {"N": "-5"}, "color": {"S": "red"}}
    yield "query", {**by_index, "Limit": 2, "ExclusiveStartKey": start}
    yield "scan", {"TableName": BY_SORT}
    yield "scan", {"TableName": BY_SORT, "Limit": 5, "ConsistentRead": True}
    yield "scan", {"TableName": BY_SORT, "Segment": 0, "TotalSegments": 1, "ProjectionExpression": "n"}
    yield "scan", {"TableName": BY_SORT, "IndexName": "by-color", "Limit": 4}
    numbers = ("7", "-0.25", "9007199254740993", "150000000000000000000")
    for one, sort in itertools.product(numbers, (b"\0", b"a\xff")):
        content = {"id": {"N": one}, "s": {"B": sort}, "v": {"S": one}}
        yield "put_item", {"TableName": BY_NUMBER, "Item": content}
        yield "get_item", {"TableName": BY_NUMBER, "Key": {"id": {"N": one}, "s": {"B": sort}}}
    writes = [{"PutRequest": {"Item": {"id": {"S": name}, "of": {"S": name * 2}}}} for name in "abc"]
    yield (
        "batch_write_item",
        {
            "RequestItems": {
                BY_HASH: writes,
                BY_SORT: [{"DeleteRequest": {"Key": {"h": {"S": "one"}, "n": {"N": "35"}}}}],
            }
        },
    )
    keys = [{"id": {"S": name}} for name in "abx"]
    yield (
        "batch_get_item",
        {
            "RequestItems": {
                BY_HASH: {"Keys": keys},
                BY_SORT: {
                    "Keys": [{"h": {"S": "one"}, "n": {"N": "0"}}],
                    "ProjectionExpression": "#v",
                    "ExpressionAttributeNames": {"#v": "version"},
                },
            }
        },
    )
    gets = [
        {"Get": {"TableName": BY_HASH, "Key": {"id": {"S": "a"}}}},
        {"Get": {"TableName": BY_HASH, "Key": {"id": {"S": "x"}}}},
        {
            "Get": {
                "TableName": BY_SORT,
                "Key": {"h": {"S": "one"}, "n": {"N": "0"}},
                "ProjectionExpression": "document.list[3][0], n",
            }
        },
    ]
    yield "transact_get_items", {"TransactItems": gets}
    transaction = [
        {"Put": {"TableName": BY_HASH, "Item": {"id": {"S": "t"}, "v": {"N": "1"}}}},
        {
            "Update": {
                "TableName": BY_HASH,
                "Key": {"id": {"S": "a"}},
                "UpdateExpression": "SET v = :v",
                "ExpressionAttributeValues": {":v": {"N": "5"}},
            }
        },
        {"Delete": {"TableName": BY_HASH, "Key": {"id": {"S": "b"}}}},
        {
            "ConditionCheck": {
                "TableName": BY_HASH,
                "Key": {"id": {"S": "c"}},
                "ConditionExpression": "attribute_exists(id)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        },
    ]
    yield "transact_write_items", {"TransactItems": transaction}
    yield "get_item", {"TableName": BY_HASH, "Key": {"id": {"S": "a"}}}
    refused = json.loads(json.dumps(transaction))
    refused[3]["ConditionCheck"]["ConditionExpression"] = "attribute_not_exists(id)"
    yield "transact_write_items", {"TransactItems": refused}
    yield "scan", {"TableName": BY_HASH}
    yield "get_item", {"TableName": "not-there", "Key": {"id": {"S": "a"}}}


def normal(value: Any) -> Any:
    """Numbers as numbers, sets and scans without order."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [normal(one) for one in value]
    if isinstance(value, dict):
        if set(value) == {"N"}:
            return {"N": str(Decimal(value["N"]).normalize())}
        if len(value) == 1 and next(iter(value)) in ("SS", "NS", "BS"):
            kind, content = next(iter(value.items()))
            return {kind: sorted((str(normal({"N": one})) if kind == "NS" else str(normal(one))) for one in content)}
        return {name: normal(one) for name, one in value.items()}
    return value


def outcome(call: Callable, name: str, parameters: dict) -> dict:
    try:
        result = call(**parameters)
    except ClientError as error:
        return {"error": error.response["Error"]["Code"]}
    return tidy(name, result)


def tidy(name: str, result: dict) -> dict:
    result = {
        part: one
        for part, one in result.items()
        # A client may leave out what is empty.
        if part not in ("ResponseMetadata", "$metadata")
        and not (part in ("UnprocessedItems", "UnprocessedKeys") and not one)
    }
    result = normal(result)
    if name == "scan":
        result["Items"] = sorted(result.get("Items", []), key=str)
    if name == "batch_get_item":
        result["Responses"] = {table: sorted(items, key=str) for table, items in result["Responses"].items()}
    return result


def described(value: bytes) -> dict:
    return {"__bytes": base64.b64encode(value).decode()}


def bytes_of(value: dict) -> Any:
    return base64.b64decode(value["__bytes"]) if "__bytes" in value else value


def node(planned: list[tuple[str, dict]]) -> list[dict]:
    """The outcomes of the official Node client."""
    lines = "".join(json.dumps(call, default=described) + "\n" for call in planned)
    done = subprocess.run(
        ["node", "--no-warnings", os.path.join(os.path.dirname(__file__), "clients.js")],
        input=lines,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        {"error": one["error"]} if "error" in one else tidy(name, one)
        for (name, _), one in zip(planned, outcomes, strict=True)
    ]


def main() -> None:
    session = botocore.session.get_session()
    dynamodb = session.create_client("dynamodb")
    endpoint = os.environ["DAX_ENDPOINT"]
    planned = list(calls())
    found = {}
    for client in ("direct", "python", "node"):
        # Tables of the same content, one client after the other.
        tables = f"{client}-{uuid.uuid4().hex[:8]}-"
        create_tables(dynamodb, tables)
        own = of(tables, planned)
        if client == "node":
            found[client] = node(own)
        else:
            caller = dynamodb if client == "direct" else AmazonDaxClient(session, endpoints=[endpoint])
            found[client] = [outcome(getattr(caller, name), name, parameters) for name, parameters in own]
            if client == "python":
                caller.close()
        found[client] = json.loads(json.dumps(found[client]).replace(tables, "TABLE-"))
    differences = 0
    for client in ("python", "node"):
        for (name, parameters), expected, got in zip(planned, found["direct"], found[client], strict=True):
            if got != expected:
                differences += 1
                print(client, name, json.dumps(parameters, default=str)[:400])
                print(f"  expected {expected}\n  got      {got}")
    print(f"{len(planned)} calls, {differences} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
