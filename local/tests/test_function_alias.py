"""Aliases of functions, made by a stack."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud

CODE = "import os\n\n\ndef handler(event, context):\n    return os.environ['GREETING']\n"


@pytest.fixture(scope="module")
def alias_arn(cloud: Cloud) -> str:
    """The alias `live` of a function that answers with its environment's greeting."""
    function = {
        "FunctionName": "greeting",
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": cloud.create_role("greeting", "lambda.amazonaws.com"),
        "Code": {"ZipFile": CODE},
        "Environment": {"Variables": {"GREETING": "good morning"}},
    }
    alias = {
        "Name": "live",
        "FunctionName": {"Ref": "Function"},
        "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
    }
    resources = {
        "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
        "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
        "Alias": {"Type": "AWS::Lambda::Alias", "Properties": alias},
    }
    template = {"Resources": resources, "Outputs": {"Alias": {"Value": {"Ref": "Alias"}}}}
    stacks = cloud.client("cloudformation")
    stacks.create_stack(StackName="greeting", TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName="greeting", WaiterConfig={"Delay": 1})
    [output] = stacks.describe_stacks(StackName="greeting")["Stacks"][0]["Outputs"]
    return output["OutputValue"]


def answer(functions: Any, name: str) -> Any:
    return json.load(functions.invoke(FunctionName=name)["Payload"])


def test_an_alias_runs_the_function_as_it_is_now(cloud: Cloud, alias_arn: str) -> None:
    functions = cloud.client("lambda")
    assert answer(functions, alias_arn) == "good morning"
    functions.update_function_configuration(
        FunctionName="greeting", Environment={"Variables": {"GREETING": "good night"}}
    )
    assert answer(functions, alias_arn) == "good night"


def test_who_may_invoke_the_alias_may_not_invoke_the_function(cloud: Cloud, alias_arn: str) -> None:
    """Lambda, Using Lambda aliases in event sources and permissions policies: an alias has an ARN of its own, and a
    policy that names it does not permit the function's.
    """
    iam = cloud.client("iam")
    iam.create_user(UserName="greeter")
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": alias_arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="greeter", PolicyName="greet", PolicyDocument=policy)
    key = iam.create_access_key(UserName="greeter")["AccessKey"]
    functions = boto3.client(
        "lambda",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    assert answer(functions, alias_arn).startswith("good")
    with pytest.raises(ClientError) as refused:
        answer(functions, "greeting")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
