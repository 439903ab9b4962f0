"""Saved queries of CloudWatch Logs Insights, for which MiniStack has neither a resource nor calls.

A stack creates them, and ``DescribeQueryDefinitions`` lists them. They can't be run: MiniStack's query language has no
``stats``, and does not find fields in JSON.
"""

from typing import Any

from ministack.core.responses import AccountRegionScopedDict, json_response, new_uuid
from ministack.services import cloudwatch_logs
from ministack.services.cloudformation import provisioners

_definitions = AccountRegionScopedDict()


def _put(definition_id: str, properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    _definitions[definition_id] = {
        "queryDefinitionId": definition_id,
        "name": properties["Name"],
        "queryString": properties["QueryString"],
        "logGroupNames": properties.get("LogGroupNames", []),
    }
    return definition_id, {"QueryDefinitionId": definition_id}


def _create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    return _put(new_uuid(), properties)


def _update(
    definition_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str
) -> tuple[str, dict[str, str]]:
    return _put(definition_id, new)


def _delete(definition_id: str, properties: dict[str, Any]) -> None:
    _definitions.pop(definition_id, None)


_handle_other_request = cloudwatch_logs.handle_request


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
    if headers.get("x-amz-target", "").endswith(".DescribeQueryDefinitions"):
        return json_response({"queryDefinitions": list(_definitions.values())})
    return await _handle_other_request(method, path, headers, body, query)


def install() -> None:
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": _create,
        "update": _update,
        "delete": _delete,
    }
    cloudwatch_logs.handle_request = _handle
