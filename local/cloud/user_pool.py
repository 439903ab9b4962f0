"""A user pool has one user for an address, however many calls come at once.

MiniStack looks for the address among all users, in a thread for each call, and makes the user afterwards: two calls at
once made two. It also took longer the more users there are.
"""

import threading
from typing import Any

from ministack.services import cognito

_making = threading.Lock()
_usernames: dict[tuple[str, str], str] = {}
"""Of an address in a pool, as far as it has been looked for."""

_make_user = cognito._admin_create_user
_look_for_user = cognito._resolve_user


def _admin_create_user(request: dict[str, Any]) -> Any:
    with _making:
        return _make_user(request)


def _resolve_user(pool: dict[str, Any], name: str | None) -> tuple[dict[str, Any] | None, Any]:
    place = (pool["Id"], name or "")
    user = pool["_users"].get(_usernames.get(place))
    if user:
        attributes = cognito._attr_list_to_dict(user["Attributes"])
        if name in [attributes.get(attribute) for attribute in pool.get("UsernameAttributes") or []]:
            return user, None
    user, error = _look_for_user(pool, name)
    if user:
        _usernames[place] = user["Username"]
    return user, error


def install() -> None:
    cognito._admin_create_user = _admin_create_user
    cognito._resolve_user = _resolve_user
