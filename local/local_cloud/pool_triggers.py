"""The function that a user pool calls before it makes a token needs a permission, and its failure refuses the sign-in.

MiniStack asks for no permission, and makes the token as if there were no function when the function fails.
"""

import os
from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cognito, lambda_svc

_apply_trigger = cognito._apply_pretoken_trigger
_dispatch_other = cognito._dispatch_idp


class _Refused(Exception):
    """No token is made; the arguments are the error code and the message."""


def _is_permitted(function_arn: str, pool_arn: str) -> bool:
    function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
    principal, account = "cognito-idp.amazonaws.com", get_account_id()
    context = EvalContext(
        principal_arn=principal,
        principal_type="Service",
        principal_account=account,
        action="lambda:InvokeFunction",
        resource_arn=function_arn,
        region=get_region(),
        secure_transport=True,
        service_context={"aws:sourcearn": pool_arn, "aws:sourceaccount": account},
    )
    policy = function and function.get("policy")
    return evaluate_resource_policy(policy or "{}", context, principal).decision == "Allow"


def _apply(pool_id: str, claims: dict[str, Any], token_type: str, *more: Any, **named: Any) -> dict[str, Any]:
    pool = cognito._user_pools[pool_id]
    function_arn = (pool.get("LambdaConfig") or {}).get("PreTokenGeneration")
    if function_arn and token_type == "id" and not _is_permitted(function_arn, pool["Arn"]):
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
