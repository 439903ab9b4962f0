"""The resource that IAM compares with a policy, where MiniStack compares another.

A request of CloudWatch Logs about a group or a stream is for ``log-group:<group>:log-stream:<stream>``, whose last part
may be empty; so policies end in ``:*`` ("CloudWatch Logs resources and operations"). A request of DynamoDB can name a
table or an export by its ARN. The ARN of a schedule has its group: ``schedule/<group>/<name>``.
"""

import json
from typing import Any

from ministack.core import iam_actions

_other_resource_arn = iam_actions.extract_resource_arn


def _resource_arn(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], *scope: str
) -> str:
    arn = _other_resource_arn(service, method, path, headers, body, query, *scope)
    if service == "logs" and ":log-group:" in arn and "Tag" not in headers.get("x-amz-target", ""):
        return f"{arn.removesuffix(':*')}:log-stream:{json.loads(body).get('logStreamName', '')}"
    if service == "dynamodb" and arn == "*":
        request = json.loads(body or b"{}")
        return request.get("ExportArn") or request.get("TableArn") or arn
    if service == "scheduler" and ":schedule/default/" in arn:
        [group] = query.get("groupName") or [json.loads(body or b"{}").get("GroupName", "default")]
        return arn.replace(":schedule/default/", f":schedule/{group}/")
    return arn


def install() -> None:
    iam_actions.extract_resource_arn = _resource_arn
