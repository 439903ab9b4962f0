"""Lists which permissions were used: the requests that an Allow statement permitted, and those that none did.

AWS shows for a role when it last used an action, not which statement allowed it.
"""

import json
from typing import Any, NamedTuple

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, EvalResult, ParsedStatement

PAGE = "/_local/permissions"


class Use(NamedTuple):
    """An evaluated request; its resource is as the policy writes it, or as the refused request names it."""

    principal: str
    action: str
    resource: str
    source: str | None
    allowed: bool


_used: set[Use] = set()

_evaluate_unseen = iam_evaluator.evaluate


def _evaluate(context: EvalContext, policies: list[list[ParsedStatement]], *limits: Any) -> EvalResult:
    result = _evaluate_unseen(context, policies, *limits)
    allowed, resource = result.decision == "Allow", context.resource_arn
    if allowed:
        statements = [statement for policy in policies for statement in policy]
        named = iam_evaluator._first_match(context, statements, "Allow").resources
        matching = (pattern for pattern in named if iam_evaluator._resource_matches(resource, [pattern], []))
        resource = next(matching, resource)
    source = (context.service_context or {}).get("aws:sourcearn")
    _used.add(Use(_name(context.principal_arn), context.action, resource, source, allowed))
    return result


def _name(principal_arn: str) -> str:
    """The name of a role or a service, or else the ARN of the principal."""
    return principal_arn.split("/")[1] if ":assumed-role/" in principal_arn else principal_arn


def install() -> None:
    handle_other_page = app._handle_ses_messages_request

    async def handle_page(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
        """Returns the uses since the page was last read."""
        if path != PAGE:
            return await handle_other_page(method, path, headers, query)
        uses = []
        while _used:
            uses.append(_used.pop()._asdict())
        return 200, {"Content-Type": "application/json"}, json.dumps(uses).encode()

    iam_evaluator.evaluate = _evaluate
    app._handle_ses_messages_request = handle_page
