"""Change sets of stacks with conditions."""

import json

from running_cloud import Cloud

TEMPLATE = {
    "Parameters": {"HasQueue": {"Type": "String"}},
    "Conditions": {"HasQueue": {"Fn::Equals": [{"Ref": "HasQueue"}, "yes"]}},
    "Resources": {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Queue": {"Type": "AWS::SQS::Queue", "Condition": "HasQueue"},
    },
}


def test_a_parameter_that_decides_a_condition_adds_and_removes_resources(cloud: Cloud) -> None:
    """CloudFormation User Guide, Conditions: "At stack creation or stack update, CloudFormation evaluates all the
    conditions in your template before creating any resources."
    """
    stacks, name = cloud.client("cloudformation"), "conditions"

    def changes(value: str) -> list[tuple[str, str]]:
        parameters = [{"ParameterKey": "HasQueue", "ParameterValue": value}]
        stacks.create_change_set(
            StackName=name, ChangeSetName=value, TemplateBody=json.dumps(TEMPLATE), Parameters=parameters
        )
        described = stacks.describe_change_set(StackName=name, ChangeSetName=value)
        if described["Changes"]:
            stacks.execute_change_set(StackName=name, ChangeSetName=value)
            stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        found = [change["ResourceChange"] for change in described["Changes"]]
        return [(change["Action"], change["LogicalResourceId"]) for change in found]

    no = [{"ParameterKey": "HasQueue", "ParameterValue": "no"}]
    assert cloud.deploy(name, TemplateBody=json.dumps(TEMPLATE), Parameters=no) == []
    assert changes("yes") == [("Add", "Queue")]
    assert len(stacks.describe_stack_resources(StackName=name)["StackResources"]) == 2
    assert changes("no") == [("Remove", "Queue")]
