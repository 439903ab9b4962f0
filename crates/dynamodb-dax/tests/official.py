"""Encodes the cases on standard input, one JSON object a line, with the official Python client.

Writes one line of hexadecimal digits for each.
"""

import json
import sys

from amazondax import AttributeValueEncoder, CborSExprGenerator


def value(described: dict) -> dict:
    """Binary values are hexadecimal in the cases."""
    kind, content = next(iter(described.items()))
    if kind == "B":
        return {"B": bytes.fromhex(content)}
    if kind == "BS":
        return {"BS": [bytes.fromhex(one) for one in content]}
    if kind == "L":
        return {"L": [value(one) for one in content]}
    if kind == "M":
        return {"M": {name: value(one) for name, one in content.items()}}
    return described


def values(described: dict) -> dict:
    return {name: value(one) for name, one in described.items()}


def encode(case: dict) -> bytes:
    if case["case"] == "value":
        return AttributeValueEncoder.encode_attribute_value(value(case["value"]))
    if case["case"] == "key":
        schema = [{"AttributeName": name, "AttributeType": kind} for name, kind in case["schema"]]
        return AttributeValueEncoder.encode_key(values(case["item"]), schema)
    purposes = ["Condition", "KeyCondition", "Filter", "Update", "Projection"]
    texts = [case["text"] if purpose == case["purpose"] else None for purpose in purposes]
    encoded = CborSExprGenerator.encode_expressions(*texts, case["names"], values(case["values"]))
    return getattr(encoded, case["purpose"])


for line in sys.stdin:
    try:
        print(encode(json.loads(line)).hex())
    except Exception as error:
        print(f"error: {type(error).__name__}: {error}".replace("\n", " "))
