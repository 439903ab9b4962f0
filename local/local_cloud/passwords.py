"""Passwords that Cognito refuses as invalid parameters, before it checks the code or the pool's policy.

ConfirmForgotPassword refuses a password of more than 256 characters, and one that does not match the pattern, such as
one that ends in a space. MiniStack checks the pool's policy only.
"""

import re
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cognito

MAXIMUM_LENGTH = 256
PATTERN = r"^[\S]+.*[\S]+$"

_code_error = cognito._confirmation_code_error


def _confirmation_error(action: str, request: dict[str, Any]) -> Any:
    password = request.get("Password", "")
    broken = []
    if len(password) > MAXIMUM_LENGTH:
        broken.append(f"Member must have length less than or equal to {MAXIMUM_LENGTH}")
    if not re.fullmatch(PATTERN, password):
        broken.append(f"Member must satisfy regular expression pattern: {PATTERN}")
    if action != "ConfirmForgotPassword" or not broken:
        return _code_error(action, request)
    detected = "1 validation error" if len(broken) == 1 else f"{len(broken)} validation errors"
    reasons = "; ".join(f"Value at 'password' failed to satisfy constraint: {reason}" for reason in broken)
    return error_response_json("InvalidParameterException", f"{detected} detected: {reasons}", 400)


def install() -> None:
    cognito._confirmation_code_error = _confirmation_error
