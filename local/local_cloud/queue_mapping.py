"""Event source mappings of SQS queues: the function's role must be allowed to read the queue.

MiniStack's poller takes the messages inside its own process, whatever the role may do.
"""

import logging
from typing import Any

from ministack.core.responses import get_region
from ministack.services import lambda_svc

from local_cloud.role import RoleNotAssumable, assume_role, is_allowed

logger = logging.getLogger(__name__)

ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

_concurrency_of_permitted = lambda_svc._sqs_esm_concurrency


def _concurrency(
    mapping: dict[str, Any], function: dict[str, Any], configuration: dict[str, Any], queue: dict[str, Any]
) -> int:
    """The maximum number of concurrent batches; 0 if the role lacks a permission."""
    if problem := _problem(configuration["Role"], mapping["EventSourceArn"]):
        # The poller calls this many times a second.
        if mapping.get("LastProcessingResult") != problem:
            logger.warning("event source mapping %s: %s", mapping["UUID"], problem)
            mapping["LastProcessingResult"] = problem
        return 0
    return _concurrency_of_permitted(mapping, function, configuration, queue)


def _problem(role_arn: str, queue_arn: str) -> str | None:
    try:
        credentials = assume_role(role_arn, "lambda.amazonaws.com")
    except RoleNotAssumable as problem:
        return f"PROBLEM: {problem}"
    for action in ACTIONS:
        if not is_allowed(credentials, action, queue_arn, get_region()):
            return f"PROBLEM: {role_arn} is not authorized to perform {action} on {queue_arn}"
    return None


def install() -> None:
    lambda_svc._sqs_esm_concurrency = _concurrency
