"""A user pool has one user for an address, and Cognito limits its own e-mails to fifty a day.

MiniStack searches all users for the address, and creates the user afterwards, in a thread for each call: concurrent
calls can create several, and the search slows down with the number of users. It is case-sensitive in every pool, and
sends every e-mail.
"""

import threading
import time
from typing import Any

from ministack.core.responses import error_response_json, get_region
from ministack.services import cognito, ses

EMAILS_A_DAY = 50
"""The limit of an account, for pools that don't send through SES."""

_making = threading.Lock()
_usernames: dict[tuple[str, str], str] = {}
"""The username for a pool and an address, for the addresses that have been searched."""
_sent: list[float] = []
"""The times at which Cognito sent e-mails itself, in seconds since the epoch."""

_make_user = cognito._admin_create_user
_look_for_user = cognito._resolve_user
_make_pool = cognito._create_user_pool
_change_pool = cognito._update_user_pool
_send_email = cognito._deliver_cognito_email
_dispatch_other = cognito._dispatch_idp


class _NotSent(Exception):
    """An e-mail can't be sent; the arguments are the error code and the message."""


def _admin_create_user(request: dict[str, Any]) -> Any:
    with _making:
        return _make_user(request)


def _spelled(pool: dict[str, Any], name: str) -> str:
    # Usernames are case-sensitive unless the pool says otherwise.
    is_case_sensitive = str(pool.get("UsernameConfiguration", {}).get("CaseSensitive", True)).lower() == "true"
    return name if is_case_sensitive else name.lower()


def _has_name(pool: dict[str, Any], user: dict[str, Any], spelled: str) -> bool:
    attributes = cognito._attr_list_to_dict(user["Attributes"])
    named = (attributes[attribute] for attribute in pool["UsernameAttributes"] if attribute in attributes)
    return spelled in (_spelled(pool, name) for name in named)


def _resolve_user(pool: dict[str, Any], name: str | None) -> tuple[dict[str, Any] | None, Any]:
    if not name or not pool.get("UsernameAttributes"):
        return _look_for_user(pool, name)
    spelled = _spelled(pool, name)
    place = (pool["Id"], spelled)
    user = pool["_users"].get(name) or pool["_users"].get(_usernames.get(place))
    if user and (user["Username"] == name or _has_name(pool, user, spelled)):
        return user, None
    user = next((one for one in list(pool["_users"].values()) if _has_name(pool, one, spelled)), None)
    if not user:
        return _look_for_user({**pool, "_users": {}}, name)
    _usernames[place] = user["Username"]
    return user, None


def _sends_through_ses(pool: dict[str, Any]) -> bool:
    return (pool.get("EmailConfiguration") or {}).get("EmailSendingAccount") == "DEVELOPER"


def _refusal_by_ses(rejection: str) -> str:
    return f"Cognito received the following error from Amazon SES when attempting to send email: {rejection}"


def _pool_error(request: dict[str, Any]) -> Any:
    """The error answer for a pool that can't send through SES, or None."""
    if not _sends_through_ses(request):
        return None
    arn = request["EmailConfiguration"].get("SourceArn", "")
    if ses._identity_verified(arn.rpartition("identity/")[2]):
        return None
    region = get_region().upper()
    rejection = f"Email address is not verified. The following identities failed the check in region {region}: {arn}"
    return error_response_json("InvalidParameterException", _refusal_by_ses(rejection), 400)


def _create_user_pool(request: dict[str, Any]) -> Any:
    return _pool_error(request) or _make_pool(request)


def _update_user_pool(request: dict[str, Any]) -> Any:
    return _pool_error(request) or _change_pool(request)


def _deliver_email(pool: dict[str, Any], to: str, *parts: Any, **named: Any) -> Any:
    if _sends_through_ses(pool):
        rejection = ses._message_rejection(cognito._resolve_email_sender(pool)[0], [to])
        if rejection:
            raise _NotSent("CodeDeliveryFailureException", _refusal_by_ses(rejection))
    else:
        since = time.time() - 86400
        _sent[:] = [moment for moment in _sent if moment > since]
        if len(_sent) >= EMAILS_A_DAY:
            raise _NotSent(
                "LimitExceededException",
                "Exceeded daily email limit for the operation or the account. If a higher limit is required, please "
                "configure your user pool to use your own Amazon SES configuration for sending email.",
            )
        _sent.append(time.time())
    return _send_email(pool, to, *parts, **named)


async def _dispatch(action: str, request: dict[str, Any]) -> Any:
    try:
        return await _dispatch_other(action, request)
    except _NotSent as error:
        return error_response_json(*error.args, 400)


def install() -> None:
    cognito._admin_create_user = _admin_create_user
    cognito._resolve_user = _resolve_user
    cognito._create_user_pool = _create_user_pool
    cognito._update_user_pool = _update_user_pool
    cognito._deliver_cognito_email = _deliver_email
    cognito._dispatch_idp = _dispatch
