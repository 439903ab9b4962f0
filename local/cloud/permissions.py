"""Which permissions were used: what the Allow statements of policies have let through.

AWS shows for a role when it last used an action, not which statement allowed it.
"""

import json
from typing import Any, NamedTuple

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, EvalResult, ParsedStatement

PAGE = "/_registrar/permissions"


class Use(NamedTuple):
    """What was allowed, and to whom; the resource as the policy writes it."""

    principal: str
    action: str
    resource: str
    source: str | None


_used: set[Use] = set()

_evaluate_unseen = iam_evaluator.evaluate


def _evaluate(context: EvalContext, policies: list[list[ParsedStatement]], *limits: Any) -> EvalResult:
    result = _evaluate_unseen(context, policies, *limits)
    if result.decision == "Allow":
        statements = [statement for policy in policies for statement in policy]
        allowing = iam_evaluator._first_match(context, statements, "Allow")
        matching = (
            resource
            for resource in allowing.resources
            if iam_evaluator._resource_matches(context.resource_arn, [resource], [])
        )
        _used.add(
            Use(
                _name(context.principal_arn),
                context.action,
                next(matching, "*"),
                (context.service_context or {}).get("aws:sourcearn"),
            )
        )
    return result


def _name(principal_arn: str) -> str:
    """The name of the role, or the service, or the ARN of whoever else it is."""
    return principal_arn.split("/")[1] if ":assumed-role/" in principal_arn else principal_arn


def install() -> None:
    handle_other_page = app._handle_ses_messages_request

    async def handle_page(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
        """Answers with what was used since the page was last asked for."""
        if path != PAGE:
            return await handle_other_page(method, path, headers, query)
        uses = []
        while _used:
            uses.append(_used.pop()._asdict())
        return 200, {"Content-Type": "application/json"}, json.dumps(uses).encode()

    iam_evaluator.evaluate = _evaluate
    app._handle_ses_messages_request = handle_page
