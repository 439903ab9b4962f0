"""The function that a user pool calls before it makes a token needs a permission, and its failure refuses the sign-in.

MiniStack asks for no permission, and makes the token as if there were no function when the function fails.
"""

import os
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cognito

from local_cloud.resource_policies import permits_invocation

_apply_trigger = cognito._apply_pretoken_trigger
_dispatch_other = cognito._dispatch_idp


class _Refused(Exception):
    """No token is made; the arguments are the error code and the message."""


def _apply(pool_id: str, claims: dict[str, Any], token_type: str, *more: Any, **named: Any) -> dict[str, Any]:
    pool = cognito._user_pools[pool_id]
    function_arn = (pool.get("LambdaConfig") or {}).get("PreTokenGeneration")
    is_called = function_arn and token_type == "id"
    if is_called and not permits_invocation(function_arn, "cognito-idp.amazonaws.com", pool["Arn"]):
        message = "PreTokenGeneration invocation failed due to error AccessDeniedException."
        raise _Refused("UnexpectedLambdaException", message)
    try:
        return _apply_trigger(pool_id, claims, token_type, *more, **named)
    except RuntimeError as error:
        raise _Refused("UserLambdaValidationException", f"PreTokenGeneration failed with error {error}.") from error


async def _dispatch(action: str, request: dict[str, Any]) -> Any:
    try:
        return await _dispatch_other(action, request)
    except _Refused as refusal:
        return error_response_json(*refusal.args, 400)


def install() -> None:
    os.environ["MINISTACK_COGNITO_PRETOKEN_STRICT"] = "1"
    cognito._apply_pretoken_trigger = _apply
    cognito._dispatch_idp = _dispatch
