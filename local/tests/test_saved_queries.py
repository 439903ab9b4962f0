"""Saved queries of CloudWatch Logs Insights, made by a stack."""

import json
from typing import Any

from running_cloud import Cloud


def deploy(cloud: Cloud, verb: str, query: str) -> None:
    properties: dict[str, Any] = {"Name": "registrar/errors", "QueryString": query, "LogGroupNames": ["/school"]}
    template = {"Resources": {"Errors": {"Type": "AWS::Logs::QueryDefinition", "Properties": properties}}}
    stacks = cloud.client("cloudformation")
    getattr(stacks, f"{verb}_stack")(StackName="queries", TemplateBody=json.dumps(template))
    stacks.get_waiter(f"stack_{verb}_complete").wait(StackName="queries", WaiterConfig={"Delay": 1})


def queries(cloud: Cloud) -> list[dict[str, Any]]:
    return cloud.client("logs").describe_query_definitions()["queryDefinitions"]


def test_a_query_is_made_changed_and_deleted_with_its_stack(cloud: Cloud) -> None:
    deploy(cloud, "create", "fields @message")
    [made] = queries(cloud)
    deploy(cloud, "update", "fields @message | limit 1")
    # QueryString: "Update requires: No interruption" (AWS CloudFormation User Guide, AWS::Logs::QueryDefinition).
    assert queries(cloud) == [made | {"queryString": "fields @message | limit 1"}]
    stacks = cloud.client("cloudformation")
    stacks.delete_stack(StackName="queries")
    stacks.get_waiter("stack_delete_complete").wait(StackName="queries", WaiterConfig={"Delay": 1})
    assert queries(cloud) == []
