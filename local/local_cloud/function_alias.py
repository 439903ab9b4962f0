"""An alias that a stack creates runs the function as it is now, not a published version.

MiniStack keeps versions as AWS does. But tests, and a program that watches the source, change the environment of a
function that is called through its alias, and a published version would not see the change. The alias keeps its own
permissions.
"""

from typing import Any

from ministack.services.cloudformation import provisioners

KIND = "AWS::Lambda::Alias"
LATEST = {"FunctionVersion": "$LATEST"}

_create_alias = provisioners._lambda_alias_create
_update_alias = provisioners._lambda_alias_update


def _create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    return _create_alias(logical_id, properties | LATEST, stack_name)


def _update(
    alias_arn: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
) -> tuple[str, dict[str, str]]:
    return _update_alias(alias_arn, old | LATEST, new | LATEST, stack_name, logical_id)


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS
    handlers[KIND] = handlers[KIND] | {"create": _create, "update": _update}
