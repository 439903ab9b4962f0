"""A custom resource of a stack, whose function answers at the address that it gets."""

import json
from typing import Any

from running_cloud import Cloud

# Answers as the property says: "Custom resource response objects" in the CloudFormation User Guide.
CODE = """
import json, urllib.request
def handler(event, context):
    asked = event["ResourceProperties"]
    answer = {
        "Status": asked["Status"],
        "Reason": "the table is locked",
        "PhysicalResourceId": "migrations",
        "Data": {"Seen": event["RequestType"]},
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    url, body = event["ResponseURL"], json.dumps(answer).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT"))
"""


def template(function: str, status: str, **properties: Any) -> dict[str, Any]:
    asked = {"ServiceToken": function, "Status": status, **properties}
    parts = {"Migrations": {"Type": "AWS::CloudFormation::CustomResource", "Properties": asked}}
    outputs = {"Seen": {"Value": {"Fn::GetAtt": "Migrations.Seen"}}}
    return {"TemplateBody": json.dumps({"Resources": parts, "Outputs": outputs})}


def test_a_custom_resource_waits_for_its_answer_and_a_failure_fails_the_stack(cloud: Cloud) -> None:
    function = cloud.create_function("migrate", cloud.create_role("migrate", "lambda.amazonaws.com"), CODE)
    assert cloud.deploy("migrated", **template(function, "SUCCESS")) == []
    stacks = cloud.client("cloudformation")

    def seen() -> str:
        return stacks.describe_stacks(StackName="migrated")["Stacks"][0]["Outputs"][0]["OutputValue"]

    assert seen() == "Create"
    # A deployment that changes a property sends an update; others send nothing.
    stacks.update_stack(StackName="migrated", **template(function, "SUCCESS", Version="2"))
    stacks.get_waiter("stack_update_complete").wait(StackName="migrated", WaiterConfig={"Delay": 1})
    assert seen() == "Update"
    [reason] = cloud.deploy("not-migrated", **template(function, "FAILED"))
    assert "the table is locked" in reason
