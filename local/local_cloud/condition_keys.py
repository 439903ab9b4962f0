"""The condition key ``cloudwatch:namespace``, which MiniStack does not set.

A policy limits PutMetricData with it, because that action has no resource.
"""

import json
from typing import Any

from ministack.core import iam_actions

_tag_keys = iam_actions.request_tag_context


def _condition_keys(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
    keys = _tag_keys(service, action, body, parameters)
    if action == "cloudwatch:PutMetricData":
        # boto3, which sends the calls of Step Functions, sends JSON.
        keys["cloudwatch:namespace"] = json.loads(body)["Namespace"]
    return keys


def install() -> None:
    iam_actions.request_tag_context = _condition_keys
