"""The condition key ``cloudwatch:namespace``, which MiniStack does not set.

It is how a policy limits PutMetricData, an action that has no resource to name.
"""

import json
from typing import Any

from ministack.core import iam_actions

_tag_keys = iam_actions.request_tag_context


def _condition_keys(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
    keys = _tag_keys(service, action, body, parameters)
    if action == "cloudwatch:PutMetricData":
        # As boto3 sends it, for whom Step Functions' calls are made.
        keys["cloudwatch:namespace"] = json.loads(body)["Namespace"]
    return keys


def install() -> None:
    iam_actions.request_tag_context = _condition_keys
