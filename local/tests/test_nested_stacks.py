"""Nested stacks of a SAM template. AWS CloudFormation User Guide, Nested stacks, and AWS::CloudFormation::Stack."""

import io
import json
import zipfile
from typing import Any

import pytest
import requests
from running_cloud import Cloud

BUCKET = "nested-templates"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
SAM = "AWS::Serverless-2016-10-31"
CODE = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'pong'}\n"
TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "TableName": {"Fn::Sub": "${Prefix}-${Suffix}"},
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
    },
}
# The table's stream is an attribute that its name doesn't tell.
DATA = {
    "Parameters": {
        "Prefix": {"Type": "String"},
        "Suffix": {"Type": "String", "Default": "rows"},
        "Seconds": {"Type": "Number", "Default": "30"},
        "Archived": {"Type": "String", "AllowedValues": ["true", "false"]},
    },
    "Conditions": {"IsArchived": {"Fn::Equals": [{"Ref": "Archived"}, "true"]}},
    "Resources": {
        "Table": TABLE,
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": {"Ref": "Seconds"}}},
        "Bucket": {"Type": "AWS::S3::Bucket", "Condition": "IsArchived"},
    },
    "Outputs": {
        "StreamArn": {"Value": {"Fn::GetAtt": ["Table", "StreamArn"]}},
        "QueueName": {"Value": {"Fn::GetAtt": ["Queue", "QueueName"]}},
        "QueueUrl": {"Value": {"Ref": "Queue"}},
        "TableName": {
            "Value": {"Ref": "Table"},
            "Export": {"Name": {"Fn::Sub": "${Prefix}-table"}},
        },
        "BucketName": {"Condition": "IsArchived", "Value": {"Ref": "Bucket"}},
    },
}
SERVICE = {
    "Transform": SAM,
    "Parameters": {"StreamArn": {"Type": "String"}, "Greeting": {"Type": "String", "Default": "hello"}},
    "Resources": {
        "Ping": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.12",
                "Handler": "function.handler",
                "CodeUri": f"s3://{BUCKET}/code.zip",
                "Environment": {"Variables": {"STREAM": {"Ref": "StreamArn"}, "GREETING": {"Ref": "Greeting"}}},
                "Events": {
                    "Ping": {
                        "Type": "Api",
                        "Properties": {"Path": "/ping", "Method": "get", "RestApiId": {"Ref": "Api"}},
                    }
                },
            },
        },
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": "live",
                "DefinitionBody": {
                    "Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": f"s3://{BUCKET}/openapi.json"}}
                },
            },
        },
    },
    "Outputs": {
        "ApiId": {"Value": {"Ref": "Api"}},
        "FunctionName": {"Value": {"Ref": "Ping"}},
        "StreamArn": {"Value": {"Ref": "StreamArn"}},
    },
}
QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "half-made"}}
# Its role does not exist.
REFUSED = {
    "Type": "AWS::Scheduler::Schedule",
    "DependsOn": ["Queue", "Ping"],
    "Properties": {
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:q", "RoleArn": "arn:aws:iam::000000000000:role/none"},
    },
}
OPENAPI = {
    "openapi": "3.0.1",
    "info": {"title": "ping", "version": "1"},
    "paths": {
        "/ping": {
            "get": {
                "x-amazon-apigateway-integration": {
                    "type": "aws_proxy",
                    "httpMethod": "POST",
                    "uri": {
                        "Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path"
                        "/2015-03-31/functions/${Ping.Arn}/invocations"
                    },
                }
            }
        }
    },
}


@pytest.fixture(scope="module")
def bucket(cloud: Cloud) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as files:
        files.writestr("function.py", CODE)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="code.zip", Body=code.getvalue())
    s3.put_object(Bucket=BUCKET, Key="openapi.json", Body=json.dumps(OPENAPI).encode())


def nested(cloud: Cloud, template: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """An application of SAM, with its template uploaded as `sam deploy` does: under a name of its own contents."""
    body = json.dumps(template)
    key = f"{hash(body)}.template"
    cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body.encode())
    location = f"{cloud.endpoint_url}/{BUCKET}/{key}"
    return {"Type": "AWS::Serverless::Application", "Properties": {"Location": location, "Parameters": parameters}}


def root(resources: dict[str, Any]) -> str:
    return json.dumps({"Transform": SAM, "Resources": resources})


def two(
    cloud: Cloud, prefix: str, greeting: str = "hello", service: dict[str, Any] = SERVICE, seconds: int = 30
) -> str:
    """A root of two nested stacks, one of which needs the other."""
    stream_arn = {"Fn::GetAtt": ["Data", "Outputs.StreamArn"]}
    return root(
        {
            "Data": nested(cloud, DATA, Prefix=prefix, Archived=True, Seconds=seconds),
            "Service": nested(cloud, service, StreamArn=stream_arn, Greeting=greeting),
        }
    )


def update(cloud: Cloud, name: str, template: str) -> str:
    """The state in which the update of a stack ends."""
    stacks = cloud.client("cloudformation")
    stacks.update_stack(StackName=name, TemplateBody=template, Capabilities=CAPABILITIES)
    cloud.wait_for(lambda: not status(cloud, name).endswith("_IN_PROGRESS"))
    return status(cloud, name)


def status(cloud: Cloud, name: str) -> str:
    return cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]


def children(cloud: Cloud, name: str) -> dict[str, dict[str, Any]]:
    """The nested stacks by their logical ids."""
    stacks = cloud.client("cloudformation")
    summaries = stacks.list_stack_resources(StackName=name)["StackResourceSummaries"]
    return {
        summary["LogicalResourceId"]: stacks.describe_stacks(StackName=summary["PhysicalResourceId"])["Stacks"][0]
        for summary in summaries
        if summary["ResourceType"] == "AWS::CloudFormation::Stack"
    }


def outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def delete(cloud: Cloud, name: str) -> None:
    stacks = cloud.client("cloudformation")
    stack_id = stacks.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    stacks.delete_stack(StackName=name)
    cloud.wait_for(lambda: not status(cloud, stack_id).endswith("_IN_PROGRESS"))
    assert status(cloud, stack_id) == "DELETE_COMPLETE"


@pytest.mark.usefixtures("bucket")
def test_nested_stacks_are_created_updated_and_deleted_with_their_root(cloud: Cloud) -> None:
    assert cloud.deploy("pair", TemplateBody=two(cloud, "pair"), Capabilities=CAPABILITIES) == []
    made = children(cloud, "pair")
    data, service = made["Data"], made["Service"]
    assert data["StackName"].startswith("pair-Data-")
    assert outputs(data)["QueueName"].startswith(data["StackName"][:20])
    # The condition holds: a boolean of the root is the text "true" of the nested stack.
    assert set(outputs(data)) == {"StreamArn", "QueueName", "QueueUrl", "TableName", "BucketName"}
    assert outputs(service)["StreamArn"] == outputs(data)["StreamArn"]
    # The snippet of AWS::Include became an API whose function answers.
    url = f"{cloud.endpoint_url}/_aws/execute-api/{outputs(service)['ApiId']}/live/ping"
    assert requests.get(url, timeout=10).text == "pong"
    # ListExports names the nested stack as the exporting one.
    [export] = [one for one in cloud.client("cloudformation").list_exports()["Exports"] if one["Name"] == "pair-table"]
    assert (export["Value"], export["ExportingStackId"]) == ("pair-rows", data["StackId"])

    # "CloudFormation updates the resources of modified nested stacks, but doesn't update the resources of unmodified
    # nested stacks."
    assert update(cloud, "pair", two(cloud, "pair", "good day")) == "UPDATE_COMPLETE"
    updated = children(cloud, "pair")
    assert updated["Data"] == data
    assert updated["Service"]["StackId"] == service["StackId"]
    # What the update left alone still has its attributes.
    assert outputs(updated["Service"]) == outputs(service)
    variables = cloud.client("lambda").get_function_configuration(FunctionName=outputs(service)["FunctionName"])
    assert variables["Environment"]["Variables"]["GREETING"] == "good day"

    delete(cloud, "pair")
    assert [status(cloud, stack["StackId"]) for stack in (data, service)] == ["DELETE_COMPLETE"] * 2
    assert "pair-rows" not in cloud.client("dynamodb").list_tables()["TableNames"]


@pytest.mark.usefixtures("bucket")
def test_a_nested_stack_that_fails_fails_its_root_and_leaves_nothing(cloud: Cloud) -> None:
    broken = {**SERVICE, "Resources": {**SERVICE["Resources"], "Queue": QUEUE, "Schedule": REFUSED}}
    [reason] = cloud.deploy("broken", TemplateBody=two(cloud, "broken", service=broken), Capabilities=CAPABILITIES)
    assert "was not successfully created" in reason
    assert "Schedule: The execution role you provide must allow AWS EventBridge Scheduler" in reason
    assert status(cloud, "broken") == "ROLLBACK_COMPLETE"
    assert "broken-rows" not in cloud.client("dynamodb").list_tables()["TableNames"]
    assert cloud.client("sqs").list_queues(QueueNamePrefix="half-made")["QueueUrls"] == []

    # An update goes back: the nested stack that failed, and the one that had already been updated.
    assert cloud.deploy("mended", TemplateBody=two(cloud, "mended"), Capabilities=CAPABILITIES) == []
    before = children(cloud, "mended")
    assert update(cloud, "mended", two(cloud, "mended", service=broken, seconds=60)) == "UPDATE_ROLLBACK_COMPLETE"
    after = children(cloud, "mended")
    assert {name: outputs(stack) for name, stack in after.items()} == {
        name: outputs(stack) for name, stack in before.items()
    }
    queue = cloud.client("sqs").get_queue_attributes(
        QueueUrl=outputs(after["Data"])["QueueUrl"], AttributeNames=["VisibilityTimeout"]
    )
    assert queue["Attributes"]["VisibilityTimeout"] == "30"
    delete(cloud, "mended")


# CAPABILITY_AUTO_EXPAND is for macros, which AWS::Include and AWS::Serverless are (CreateStack, Capabilities), of
# nested stacks too: architect/architect#436, whose words these are.
@pytest.mark.usefixtures("bucket")
def test_a_root_acknowledges_what_its_nested_stacks_do(cloud: Cloud) -> None:
    application = nested(cloud, SERVICE, StreamArn="none")["Properties"]
    properties = {"TemplateURL": application["Location"], "Parameters": application["Parameters"]}
    plain = json.dumps({"Resources": {"Service": {"Type": "AWS::CloudFormation::Stack", "Properties": properties}}})
    for number, (given, lacking) in enumerate(zip(CAPABILITIES, reversed(CAPABILITIES), strict=True)):
        [reason] = cloud.deploy(f"hasty-{number}", TemplateBody=plain, Capabilities=[given])
        assert reason == f"Requires capabilities : [{lacking}]"
    assert cloud.deploy("patient", TemplateBody=plain, Capabilities=CAPABILITIES) == []


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("parameters", "refusal"),
    [
        ({"Prefix": "p", "Archived": ["true"]}, "Parameters must be an object with String"),
        ({"Prefix": "p", "Archived": "perhaps"}, "Archived"),
        ({"Archived": "true"}, "Prefix"),
        ({"Prefix": {"Fn::GetAtt": ["First", "Outputs.Nothing"]}, "Archived": "false"}, "Outputs.Nothing"),
        # AssertDescription of a rule.
        ({"Prefix": "p", "Suffix": "none", "Archived": "true"}, "An archive has a suffix."),
    ],
    ids=["a list", "a value that is not allowed", "a missing value", "a missing output", "a rule"],
)
def test_a_nested_stack_refuses_parameters(cloud: Cloud, parameters: dict[str, Any], refusal: str) -> None:
    archived = {"Fn::Equals": [{"Ref": "Archived"}, "true"]}
    has_suffix = {"Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Suffix"}, "none"]}]}}
    rule = {"RuleCondition": archived, "Assertions": [has_suffix | {"AssertDescription": "An archive has a suffix."}]}
    name = f"refused-{refusal.split(' ')[0].replace('.', '-')}"
    first = nested(cloud, DATA, Prefix=name, Archived="false")
    template = root({"First": first, "Second": nested(cloud, DATA | {"Rules": {"Suffix": rule}}, **parameters)})
    [reason] = cloud.deploy(name, TemplateBody=template, Capabilities=CAPABILITIES)
    assert refusal in reason
    # The one that was made goes, too.
    assert f"{name}-rows" not in cloud.client("dynamodb").list_tables()["TableNames"]


@pytest.mark.usefixtures("bucket")
def test_what_a_nested_stack_retains_outlives_its_root_and_what_is_protected_keeps_it(cloud: Cloud) -> None:
    dynamodb = cloud.client("dynamodb")
    protected = {**TABLE, "Properties": TABLE["Properties"] | {"DeletionProtectionEnabled": True}}
    for policy, name in (("Retain", "retained"), ("Delete", "protected")):
        table = protected | {"DeletionPolicy": policy}
        data = DATA | {"Resources": DATA["Resources"] | {"Table": table}}
        template = root({"Data": nested(cloud, data, Prefix=name, Archived="false")})
        assert cloud.deploy(name, TemplateBody=template, Capabilities=CAPABILITIES) == []
    delete(cloud, "retained")
    dynamodb.describe_table(TableName="retained-rows")
    cloud.client("cloudformation").delete_stack(StackName="protected")
    cloud.wait_for(lambda: not status(cloud, "protected").endswith("_IN_PROGRESS"))
    assert status(cloud, "protected") == "DELETE_FAILED"
    [data] = children(cloud, "protected").values()
    assert data["StackStatus"] == "DELETE_FAILED"
    for name in ("retained-rows", "protected-rows"):
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    delete(cloud, "protected")
