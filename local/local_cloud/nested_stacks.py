"""A nested stack is created, updated and deleted with CloudFormation's own calls, as any other stack.

MiniStack's own code for nested stacks applies no transform, forgets the attributes of resources that an update does not
change, exports nothing, ignores deletion policies, and keeps the resources of a nested stack that failed.
"""

import time
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError
from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners

from local_cloud.role import root_client

Properties = dict[str, Any]

SECONDS_BETWEEN_LOOKS = 0.1
NO_UPDATES = "No updates are to be performed."


def _stack(name: str) -> dict[str, Any]:
    return root_client("cloudformation", get_region()).describe_stacks(StackName=name)["Stacks"][0]


def _arguments(properties: Properties, parent: dict[str, Any]) -> dict[str, Any]:
    parameters = properties.get("Parameters", {})
    if any(isinstance(value, list | dict) for value in parameters.values()):
        raise ValueError("Value of property Parameters must be an object with String (or simple type) properties")
    return {
        "TemplateURL": properties["TemplateURL"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": str(value).lower() if isinstance(value, bool) else str(value)}
            for name, value in parameters.items()
        ],
        "Tags": [tag for tag in properties.get("Tags", []) if not tag["Key"].startswith("aws:")],
        # The root acknowledges the capabilities of its nested stacks (AWS CloudFormation User Guide, Nested stacks).
        "Capabilities": parent["Capabilities"],
    }


def _operate(verb: str, stack: str, **arguments: Any) -> dict[str, Any]:
    """Waits for a ``create``, ``update`` or ``delete``; the stack, or ``ValueError`` with the first failure."""
    client, token = root_client("cloudformation", get_region()), uuid4().hex
    try:
        answer = getattr(client, f"{verb}_stack")(StackName=stack, ClientRequestToken=token, **arguments)
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if message == NO_UPDATES:
            return _stack(stack)
        raise ValueError(message) from None
    # A deleted stack has no name any more.
    stack_id = answer.get("StackId", stack)
    while (now := _stack(stack_id))["StackStatus"].endswith("_IN_PROGRESS"):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if now["StackStatus"] == f"{verb.upper()}_COMPLETE":
        return now
    pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    failed = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for page in pages
        for event in page["StackEvents"]
        if event.get("ClientRequestToken") == token and event["ResourceStatus"].endswith("_FAILED")
    ]
    # AWS names the resource only; the reason is in the events of the nested stack.
    raise ValueError(f"Embedded stack {stack_id} was not successfully {verb}d: {failed[-1]}")


def _attributes(stack: dict[str, Any]) -> tuple[str, dict[str, str]]:
    outputs = {f"Outputs.{output['OutputKey']}": output["OutputValue"] for output in stack.get("Outputs", [])}
    return stack["StackId"], outputs


def _create(logical_id: str, properties: Properties, parent_name: str) -> tuple[str, dict[str, str]]:
    parent, name = _stack(parent_name), f"{parent_name}-{logical_id}-{uuid4().hex[:13].upper()}"
    on_failure = "DO_NOTHING" if parent["DisableRollback"] else "DELETE"
    return _attributes(_operate("create", name, OnFailure=on_failure, **_arguments(properties, parent)))


def _update(stack_id: str, old: Properties, new: Properties, parent_name: str) -> tuple[str, dict[str, str]]:
    return _attributes(_operate("update", stack_id, **_arguments(new, _stack(parent_name))))


def _delete(stack_id: str, properties: Properties) -> None:
    _operate("delete", stack_id)


def install() -> None:
    provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"] = {
        "create": _create,
        "update": _update,
        "delete": _delete,
    }
