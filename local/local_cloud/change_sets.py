"""A change set has the resources that a condition adds or removes.

MiniStack compares all resources of both templates, also those whose conditions are false. A change of a parameter that
decides a condition alone seems to change nothing.
"""

from typing import Any

from ministack.services.cloudformation import changesets

_resolve = changesets._resolve_props_for_diff


def _resolve_existing(template: dict[str, Any], parameters: dict[str, Any], *stack: str) -> dict[str, Any]:
    resolved = _resolve(template, parameters, *stack)
    conditions = changesets._evaluate_conditions(template, parameters) if template else {}
    return {
        "Resources": {
            name: resource
            for name, resource in resolved.get("Resources", {}).items()
            if conditions.get(resource.get("Condition"), True)
        }
    }


def install() -> None:
    changesets._resolve_props_for_diff = _resolve_existing
