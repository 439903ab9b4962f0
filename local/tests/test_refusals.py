"""What AWS refuses to create or to delete, on MiniStack with IAM enforced. The messages are AWS's, as reported."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud

BUCKET = "arn:aws:s3:::failed-batches"
NOTHING = "def handler(event, context):\n    pass\n"


def stack_problem(cloud: Cloud, name: str, kind: str, properties: dict[str, Any]) -> str:
    """What a stack of this one resource says when it can't be made."""
    cloudformation = cloud.client("cloudformation")
    template = {"Resources": {"It": {"Type": kind, "Properties": properties}}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), OnFailure="DO_NOTHING")

    def status() -> str:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    cloud.wait_for(lambda: not status().endswith("_IN_PROGRESS"))
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    cloudformation.delete_stack(StackName=name)
    return next((event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"), "")


def create_stream(cloud: Cloud, table: str) -> str:
    return cloud.client("dynamodb").create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]


def test_a_mapping_of_a_stream_wants_the_stream_and_its_failure_destination_as_a_whole(cloud: Cloud) -> None:
    """Retain discarded records for a DynamoDB event source in Lambda: "Your execution role must have permissions for
    the destination: [...] s3:PutObject and s3:ListBucket". That PutObject on `aws/lambda/*` alone is refused is
    reported, not documented; aws-cdk's S3OnFailureDestination grants the whole bucket.
    """
    functions = cloud.client("lambda")
    role_arn = cloud.create_role("archiver", "lambda.amazonaws.com")
    cloud.create_function("archiver", role_arn, NOTHING)
    stream_arn = create_stream(cloud, "archived")
    cloud.client("s3").create_bucket(Bucket="failed-batches")
    mapping = {
        "FunctionName": "archiver",
        "EventSourceArn": stream_arn,
        "StartingPosition": "TRIM_HORIZON",
        "DestinationConfig": {"OnFailure": {"Destination": BUCKET}},
    }

    def problem() -> str:
        with pytest.raises(functions.exceptions.InvalidParameterValueException) as refusal:
            functions.create_event_source_mapping(**mapping)
        said = refusal.value.response["Error"]["Message"]
        assert said in stack_problem(cloud, "archiver", "AWS::Lambda::EventSourceMapping", mapping)
        return said

    for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"):
        assert problem() == (
            f"Cannot access stream {stream_arn}. Please ensure the role can perform the GetRecords, GetShardIterator, "
            "DescribeStream, and ListStreams Actions on your stream in IAM."
        )
        cloud.allow("archiver", f"dynamodb:{action}", stream_arn)
    for resource in (f"{BUCKET}/aws/lambda/*", f"{BUCKET}/*"):
        assert problem() == "The function execution role does not have permissions to call PutObject on S3"
        cloud.allow("archiver", "s3:PutObject", resource)
    assert problem() == "The function execution role does not have permissions to call ListBucket on S3"
    cloud.allow("archiver", "s3:ListBucket", BUCKET)
    assert stack_problem(cloud, "archiver", "AWS::Lambda::EventSourceMapping", mapping) == ""

    _, queue_arn = cloud.create_queue("another-destination")
    uuid = functions.create_event_source_mapping(**mapping)["UUID"]
    with pytest.raises(ClientError, match="does not have permissions to call SendMessage on SQS"):
        functions.update_event_source_mapping(UUID=uuid, DestinationConfig={"OnFailure": {"Destination": queue_arn}})
    functions.delete_event_source_mapping(UUID=uuid)


def test_a_mapping_of_a_queue_wants_to_read_it_and_time_for_the_function(cloud: Cloud) -> None:
    """Using Lambda with Amazon SQS, Execution Role Permissions, lists the actions; the time, in Configuring a queue:
    "set the source queue's visibility timeout to at least six times the function timeout".
    """
    functions = cloud.client("lambda")
    queue_url, queue_arn = cloud.create_queue("queue-read")
    role_arn = cloud.create_role("queue-reader", "lambda.amazonaws.com")
    cloud.create_function("queue-reader", role_arn, NOTHING)
    functions.update_function_configuration(FunctionName="queue-reader", Timeout=31)

    def problem() -> str:
        with pytest.raises(ClientError) as refusal:
            functions.create_event_source_mapping(FunctionName="queue-reader", EventSourceArn=queue_arn)
        return refusal.value.response["Error"]["Message"]

    for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
        assert problem() == f"The function execution role does not have permissions to call {action} on SQS"
        cloud.allow("queue-reader", f"sqs:{action}", queue_arn)
    assert problem() == "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": "31"})
    mapping = functions.create_event_source_mapping(FunctionName="queue-reader", EventSourceArn=queue_arn)
    functions.delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_failure_destination_of_asynchronous_invocations_wants_permission(cloud: Cloud) -> None:
    """Capturing records of Lambda asynchronous invocations, for a queue: sqs:SendMessage."""
    functions = cloud.client("lambda")
    _, queue_arn = cloud.create_queue("given-up")
    role_arn = cloud.create_role("asynchronous", "lambda.amazonaws.com")
    cloud.create_function("asynchronous", role_arn, NOTHING)
    settings = {
        "FunctionName": "asynchronous",
        "Qualifier": "$LATEST",
        "DestinationConfig": {"OnFailure": {"Destination": queue_arn}},
    }
    said = f"The function's execution role does not have permissions to call SendMessage on {queue_arn}"
    with pytest.raises(ClientError, match=said):
        functions.put_function_event_invoke_config(**settings)
    assert said in stack_problem(cloud, "asynchronous", "AWS::Lambda::EventInvokeConfig", settings)
    cloud.allow("asynchronous", "sqs:SendMessage", queue_arn)
    functions.put_function_event_invoke_config(**settings)


def test_a_function_in_a_network_wants_to_make_network_interfaces(cloud: Cloud) -> None:
    role = cloud.create_role("in-network", "lambda.amazonaws.com")
    subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    function = {
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": role,
        "Code": {"ZipFile": "-"},
        "VpcConfig": {"SubnetIds": [subnet], "SecurityGroupIds": []},
    }
    kind = "AWS::Lambda::Function"
    # "your function's execution role must have the following permissions" (Giving Lambda functions access to resources
    # in an Amazon VPC, Required IAM permissions).
    needed = [
        "AssignPrivateIpAddresses",
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "UnassignPrivateIpAddresses",
    ]
    for action in needed:
        problem = stack_problem(cloud, f"without-{action}", kind, function)
        assert problem.endswith(f"does not have permissions to call {action} on EC2")
        cloud.allow("in-network", f"ec2:{action}", "*")
    assert stack_problem(cloud, "in-network", kind, function) == ""


@pytest.mark.parametrize(
    ("condition", "is_made"),
    [
        ({"StringEquals": {"aws:SourceAccount": "000000000000"}}, True),
        # There is no schedule yet.
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:scheduler:us-east-1:000000000000:schedule/default/nightly"}}, False),
    ],
    ids=["account", "schedule"],
)
def test_a_schedule_wants_a_role_that_it_may_assume(cloud: Cloud, condition: dict[str, Any], is_made: bool) -> None:
    """EventBridge Scheduler, Confused deputy prevention: a trust policy is to name the schedule's group, as the policy
    of a role that names the schedule is refused.
    """
    name = f"nightly-{is_made}"
    _, queue_arn = cloud.create_queue(name)
    role_arn = cloud.create_role(name, "scheduler.amazonaws.com")
    trust = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    cloud.client("iam").update_assume_role_policy(
        RoleName=name,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust | {"Condition": condition}]}),
    )
    schedule = {
        "Name": name,
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": queue_arn, "RoleArn": role_arn},
    }
    said = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
    if is_made:
        cloud.client("scheduler").create_schedule(**schedule)
        return
    with pytest.raises(ClientError, match=said) as refusal:
        cloud.client("scheduler").create_schedule(**schedule)
    assert refusal.value.response["Error"]["Code"] == "ValidationException"
    assert said in stack_problem(cloud, name, "AWS::Scheduler::Schedule", schedule)


def test_a_state_machine_that_logs_wants_to_deliver_logs(cloud: Cloud) -> None:
    """Using CloudWatch Logs to log execution history in Step Functions, IAM policies for logging."""
    states, logs = cloud.client("stepfunctions"), cloud.client("logs")
    logs.create_log_group(logGroupName="/aws/vendedlogs/states/logged")
    [group] = logs.describe_log_groups(logGroupNamePrefix="/aws/vendedlogs/states/logged")["logGroups"]
    role_arn = cloud.create_role("logged", "states.amazonaws.com")
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    to = [{"cloudWatchLogsLogGroup": {"logGroupArn": group["arn"]}}]
    machine = {
        "name": "logged",
        "roleArn": role_arn,
        "definition": definition,
        "loggingConfiguration": {"level": "ERROR", "destinations": to},
    }
    said = "The state machine IAM Role is not authorized to access the Log Destination"
    with pytest.raises(ClientError, match=said) as refusal:
        states.create_state_machine(**machine)
    assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"
    properties = {
        "StateMachineName": "logged",
        "RoleArn": role_arn,
        "DefinitionString": definition,
        "LoggingConfiguration": {
            "Level": "ERROR",
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": group["arn"]}}],
        },
    }
    assert said in stack_problem(cloud, "logged", "AWS::StepFunctions::StateMachine", properties)
    for action in (
        "CreateLogDelivery",
        "DeleteLogDelivery",
        "DescribeLogGroups",
        "DescribeResourcePolicies",
        "GetLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
    ):
        cloud.allow("logged", f"logs:{action}", "*")
    with pytest.raises(ClientError, match=said):
        states.create_state_machine(**machine)
    cloud.allow("logged", "logs:UpdateLogDelivery", "*")
    states.create_state_machine(**machine)


def test_the_rollback_of_a_first_deployment_keeps_what_is_protected_and_nothing_else(cloud: Cloud) -> None:
    """DeletionPolicy attribute, RetainExceptOnCreate: "If the stack operation that created the resource is rolled back,
    CloudFormation deletes the resource. For all other stack operations, such as when the stack is deleted,
    CloudFormation retains the resource and its contents."
    """
    cloudformation, dynamodb = cloud.client("cloudformation"), cloud.client("dynamodb")
    kept = {"Fn::If": ["IsProd", "RetainExceptOnCreate", "Delete"]}
    table = {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "TableName": "protected",
    }
    pool = {"UserPoolName": "protected", "DeletionProtection": "ACTIVE"}
    schedule = {
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:q", "RoleArn": "arn:aws:iam::000000000000:role/nobody"},
    }
    template = {
        "Parameters": {"Stage": {"Type": "String"}},
        "Conditions": {"IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}},
        "Resources": {
            "Table": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": kept, "Properties": table},
            "Pool": {"Type": "AWS::Cognito::UserPool", "DeletionPolicy": kept, "Properties": pool},
            "Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": kept, "Properties": {"BucketName": "unprotected"}},
            "Refused": {
                "Type": "AWS::Scheduler::Schedule",
                "DependsOn": ["Bucket", "Pool", "Table"],
                "Properties": schedule,
            },
        },
    }
    parameters = [{"ParameterKey": "Stage", "ParameterValue": "prod"}]
    stack = cloudformation.create_stack(
        StackName="rolled-back", TemplateBody=json.dumps(template), Parameters=parameters
    )["StackId"]

    def status() -> str:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]

    cloud.wait_for(lambda: status() == "ROLLBACK_FAILED")
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = {event["LogicalResourceId"] for event in events if event["ResourceStatus"] == "DELETE_FAILED"}
    assert failed == {"Table", "Pool"}
    assert "unprotected" not in [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]

    # It is the stack's no longer, even without its protection: the operation that created it is over.
    dynamodb.update_table(TableName="protected", DeletionProtectionEnabled=False)
    cloudformation.delete_stack(StackName=stack)
    cloud.wait_for(lambda: status() == "DELETE_COMPLETE")
    dynamodb.delete_table(TableName="protected")
