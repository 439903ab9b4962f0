"""The action GetEventSourceMapping, which MiniStack authorizes as ListEventSourceMappings."""

from ministack.core import iam_actions

_action = iam_actions._lambda_action


def _lambda_action(method: str, path: str) -> str | None:
    action = _action(method, path)
    names_one = path.rstrip("/").rpartition("/")[2] != "event-source-mappings"
    return "GetEventSourceMapping" if action == "ListEventSourceMappings" and names_one else action


def install() -> None:
    iam_actions._lambda_action = _lambda_action
