"""Executions of state machines, on MiniStack with IAM enforced.

Unless it says otherwise, a quotation is from the Step Functions Developer Guide.
"""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_cloud.step_functions import find_matching_retrier
from running_cloud import Cloud

ANSWER = "def handler(event, context):\n    return {'answer': event}\n"
# A custom runtime, because MiniStack names every error of its Python runtime Runtime.HandlerError.
FAILING_RUNTIME = """#!/usr/bin/env python3
import json, os, urllib.request
api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    invocation = urllib.request.urlopen(f"{api}/next").headers["Lambda-Runtime-Aws-Request-Id"]
    error = {"errorType": "Unavailable", "errorMessage": "no"}
    urllib.request.urlopen(f"{api}/{invocation}/error", json.dumps(error).encode()).read()
"""


@pytest.fixture(scope="module")
def workflows(cloud: Cloud) -> Any:
    return cloud.client("stepfunctions")


def create_state_machine(cloud: Cloud, name: str, kind: str = "EXPRESS", **definition: Any) -> str:
    """A JSONata state machine with a role of its name that has no permissions yet."""
    role_arn = cloud.create_role(name, "states.amazonaws.com")
    return cloud.client("stepfunctions").create_state_machine(
        name=name,
        type=kind,
        roleArn=role_arn,
        definition=json.dumps({"QueryLanguage": "JSONata", **definition}),
    )["stateMachineArn"]


def task(cloud: Cloud, name: str, resource: str, arguments: Any, **fields: Any) -> str:
    """A state machine of one task."""
    state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True, **fields}
    return create_state_machine(cloud, name, StartAt="Task", States={"Task": state})


def run(workflows: Any, arn: str, value: Any = None) -> dict[str, Any]:
    return workflows.start_sync_execution(stateMachineArn=arn, input=json.dumps(value or {}))


def output(answer: dict[str, Any]) -> Any:
    assert answer["status"] == "SUCCEEDED", (answer.get("error"), answer.get("cause"))
    return json.loads(answer["output"])


def create_function(cloud: Cloud, name: str, code: str) -> str:
    return cloud.create_function(name, cloud.create_role(name, "lambda.amazonaws.com"), code)


@pytest.fixture(scope="module")
def answering_function(cloud: Cloud) -> str:
    return create_function(cloud, "answering", ANSWER)


# ---- Definitions ----

YAML_DEFINITION = """
QueryLanguage: JSONata
StartAt: Answer
States:
  Answer: # a comment is not JSON
    Type: Pass
    Output: { since: 2026-11-20, name: "${Name}" }
    End: true
"""


def deploy_state_machine(cloud: Cloud, name: str, definition: str) -> str:
    """The ARN of a state machine whose definition is a file, as SAM's DefinitionUri makes it."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="definitions")
    s3.put_object(Bucket="definitions", Key=f"{name}.asl.yaml", Body=definition)
    properties = {
        "StateMachineName": name,
        "StateMachineType": "EXPRESS",
        "RoleArn": cloud.create_role(name, "states.amazonaws.com"),
        "DefinitionS3Location": {"Bucket": "definitions", "Key": f"{name}.asl.yaml"},
        "DefinitionSubstitutions": {"Name": "substituted"},
    }
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    stacks = cloud.client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Machine": resource}}))

    def status() -> str:
        return stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    cloud.wait_for(lambda: not status().endswith("IN_PROGRESS"))
    assert status() == "CREATE_COMPLETE"
    return stacks.describe_stack_resources(StackName=name)["StackResources"][0]["PhysicalResourceId"]


def test_a_definition_in_yaml_runs(cloud: Cloud, workflows: Any) -> None:
    """AWS::Serverless::StateMachine: a definition is in the Amazon States Language, "for example, JSON or YAML"."""
    arn = deploy_state_machine(cloud, "in-yaml", YAML_DEFINITION)
    assert output(run(workflows, arn)) == {"since": "2026-11-20", "name": "substituted"}


def test_a_definition_whose_jsonata_does_not_parse_is_not_deployed(cloud: Cloud) -> None:
    definition = YAML_DEFINITION.replace('"${Name}"', '"{% $states.input. %}"')
    with pytest.raises(AssertionError):
        deploy_state_machine(cloud, "not-jsonata", definition)


# ---- Functions ----


def test_a_function_needs_the_state_machines_permission(cloud: Cloud, workflows: Any, answering_function: str) -> None:
    """Handle transient Lambda service exceptions: "Lambda errors are reported as Lambda.ErrorName"; an error without a
    name of its own is an AWSLambdaException.
    """
    arguments = {"FunctionName": answering_function, "Payload": "{% $states.input %}"}
    arn = task(cloud, "invoker", "arn:aws:states:::lambda:invoke", arguments, Output="{% $states.result.Payload %}")
    refused = run(workflows, arn)
    assert (refused["status"], refused["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "is not authorized to perform: lambda:InvokeFunction" in refused["cause"]
    cloud.allow("invoker", "lambda:InvokeFunction", answering_function)
    assert output(run(workflows, arn, {"number": 1})) == {"answer": {"number": 1}}


def test_the_role_must_trust_step_functions(cloud: Cloud, workflows: Any, answering_function: str) -> None:
    """Error names, States.Permissions: "A Task state failed because it had insufficient privileges to run the specified
    code."
    """
    arn = task(cloud, "trusting", "arn:aws:states:::lambda:invoke", {"FunctionName": answering_function})
    cloud.allow("trusting", "lambda:InvokeFunction", answering_function)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    cloud.client("iam").update_assume_role_policy(RoleName="trusting", PolicyDocument=policy)
    assert run(workflows, arn)["error"] == "States.Permissions"


def test_a_function_named_as_the_resource_yields_its_answer_alone(
    cloud: Cloud, workflows: Any, answering_function: str
) -> None:
    """Invoke Lambda with Step Functions: "When you invoke a Lambda function in this way, ... the task result contains
    only the function output."
    """
    arn = task(cloud, "named", answering_function, "text")
    cloud.allow("named", "lambda:InvokeFunction", answering_function)
    assert output(run(workflows, arn)) == {"answer": "text"}


def test_the_error_of_a_function_has_its_type_and_payload(cloud: Cloud, workflows: Any) -> None:
    """Invoke Lambda with Step Functions: "If the response contains the field FunctionError, the task fails." """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        files.writestr(bootstrap, FAILING_RUNTIME)
    function_arn = cloud.client("lambda").create_function(
        FunctionName="unavailable",
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=cloud.create_role("unavailable", "lambda.amazonaws.com"),
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]
    arn = task(cloud, "caller", "arn:aws:states:::lambda:invoke", {"FunctionName": function_arn})
    cloud.allow("caller", "lambda:InvokeFunction", function_arn)
    failed = run(workflows, arn)
    assert failed["error"] == "Unavailable"
    assert json.loads(failed["cause"]) == {"errorType": "Unavailable", "errorMessage": "no"}
    assert "output" not in failed


def test_a_throttled_function_is_too_many_requests(cloud: Cloud, workflows: Any) -> None:
    """Error names: "When Lambda exceeds the maximum number of invocations, the reported error will be
    Lambda.TooManyRequestsException."
    """
    function_arn = create_function(cloud, "throttled", ANSWER)
    cloud.client("lambda").put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    arn = task(cloud, "caller-of-throttled", "arn:aws:states:::lambda:invoke", {"FunctionName": function_arn})
    cloud.allow("caller-of-throttled", "lambda:InvokeFunction", function_arn)
    assert run(workflows, arn)["error"] == "Lambda.TooManyRequestsException"


def test_a_hundred_executions_at_once_come_to_an_end(cloud: Cloud, workflows: Any, answering_function: str) -> None:
    states = {
        str(number): {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": answering_function, "Payload": "{% $states.input %}"},
            "Output": "{% $states.result.Payload.answer %}",
            **({"End": True} if number == 4 else {"Next": str(number + 1)}),
        }
        for number in range(1, 5)
    }
    arn = create_state_machine(cloud, "crowded", StartAt="1", States=states)
    cloud.allow("crowded", "lambda:InvokeFunction", answering_function)
    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(lambda number: output(run(workflows, arn, {"number": number})), range(100)))
    assert answers == [{"number": number} for number in range(100)]


# ---- Other services ----


@pytest.fixture(scope="module")
def table_arn(cloud: Cloud) -> str:
    return cloud.client("dynamodb").create_table(
        TableName="workflow-items",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]


@pytest.mark.parametrize(
    ("name", "resource", "refused", "failed"),
    [
        ("optimized", "dynamodb:putItem", "DynamoDB.AmazonDynamoDBException", "DynamoDB"),
        ("sdk", "aws-sdk:dynamodb:putItem", "DynamoDb.DynamoDbException", "DynamoDb"),
    ],
)
def test_an_api_needs_the_state_machines_permission_and_its_errors_are_named_after_the_service(
    cloud: Cloud, workflows: Any, table_arn: str, name: str, resource: str, refused: str, failed: str
) -> None:
    """Learning to use AWS SDK service integrations: "the resulting Error field will be composed of the service name and
    the error name, separated by a period character: ServiceName.ErrorName. Both the service name and error name are in
    Pascal case." The exception prefix of DynamoDB is DynamoDb there, and DynamoDB in the optimized integration.
    """
    arguments = {
        "TableName": "workflow-items",
        "Item": {"id": {"S": name}},
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValues": None,
    }
    arn = task(cloud, name, f"arn:aws:states:::{resource}", arguments)
    assert run(workflows, arn)["error"] == refused
    cloud.allow(name, "dynamodb:PutItem", table_arn)
    assert output(run(workflows, arn)) == {}
    assert run(workflows, arn)["error"] == f"{failed}.ConditionalCheckFailedException"


def test_the_names_of_parameters_and_results_are_in_pascal_case(cloud: Cloud, workflows: Any) -> None:
    """Using AWS SDK service integrations: "The API action will always be camel case, and parameter names will be Pascal
    case. For example, you could use Step Functions' startSyncExecution API action and specify the parameter
    StateMachineArn."
    """
    states = {"Pass": {"Type": "Pass", "Output": {"got": "{% $states.input %}"}, "End": True}}
    inner_arn = create_state_machine(cloud, "inner", StartAt="Pass", States=states)
    arguments = {"StateMachineArn": inner_arn, "Input": {"number": "{% $states.input.number %}"}}
    arn = task(cloud, "outer", "arn:aws:states:::aws-sdk:sfn:startSyncExecution", arguments)
    assert run(workflows, arn, {"number": 7})["error"] == "Sfn.SfnException"
    cloud.allow("outer", "states:StartSyncExecution", inner_arn)
    result = output(run(workflows, arn, {"number": 7}))
    assert result["Status"] == "SUCCEEDED"
    assert json.loads(result["Output"]) == {"got": {"number": 7}}
    assert result["StartDate"].endswith("Z")


def test_a_missing_object_is_an_error_of_s3(cloud: Cloud, workflows: Any) -> None:
    """GetObject, Errors: NoSuchKey; its exception prefix is S3, and exceptions end in Exception."""
    cloud.client("s3").create_bucket(Bucket="workflow-objects")
    arguments = {"Bucket": "workflow-objects", "Key": "object"}
    arn = task(cloud, "reader", "arn:aws:states:::aws-sdk:s3:getObject", arguments)
    cloud.allow("reader", "s3:*", "*")
    assert run(workflows, arn)["error"] == "S3.NoSuchKeyException"
    cloud.client("s3").put_object(Bucket="workflow-objects", Key="object", Body="text")
    assert output(run(workflows, arn))["Body"] == "text"


def test_an_object_is_sent_as_the_text_of_its_json(cloud: Cloud, workflows: Any) -> None:
    """Call Amazon SQS with Step Functions: its example of sendMessage has an object as the MessageBody."""
    sqs = cloud.client("sqs")
    queue_url = sqs.create_queue(QueueName="workflow-messages")["QueueUrl"]
    arguments = {"QueueUrl": queue_url, "MessageBody": {"number": "{% $states.input.number %}"}}
    arn = task(cloud, "sender", "arn:aws:states:::sqs:sendMessage", arguments)
    assert run(workflows, arn, {"number": 3})["error"] == "SQS.AmazonSQSException"
    cloud.allow("sender", "sqs:SendMessage", "*")
    result = output(run(workflows, arn, {"number": 3}))
    [message] = sqs.receive_message(QueueUrl=queue_url)["Messages"]
    assert json.loads(message["Body"]) == {"number": 3}
    assert result["MD5OfMessageBody"] == message["MD5OfBody"]


def test_an_entry_that_the_bus_does_not_take_fails_the_task(cloud: Cloud, workflows: Any) -> None:
    """Call EventBridge with Step Functions: "If the response from PutEvents contains a non-zero FailedEntryCount then
    the Task state fails with the error EventBridge.FailedEntry."
    """
    arguments = {"Entries": [{"Source": "aws.ec2", "DetailType": "test", "Detail": {"number": 1}}]}
    arn = task(cloud, "publisher", "arn:aws:states:::events:putEvents", arguments)
    cloud.allow("publisher", "events:PutEvents", "*")
    assert run(workflows, arn)["error"] == "EventBridge.FailedEntry"


@pytest.mark.parametrize(("resource", "expected"), [("sync", '{"n": 1}'), ("sync:2", {"n": 1})])
def test_a_nested_execution_is_awaited(cloud: Cloud, workflows: Any, resource: str, expected: Any) -> None:
    """Start Step Functions workflow executions from a task: the Output of startExecution.sync is a String, that of
    startExecution.sync:2 JSON.
    """
    name = resource.replace(":", "-")
    states = {"Pass": {"Type": "Pass", "Output": {"n": 1}, "End": True}}
    child_arn = create_state_machine(cloud, f"child-{name}", "STANDARD", StartAt="Pass", States=states)
    arguments = {"StateMachineArn": child_arn, "Input": {}}
    arn = task(cloud, f"parent-{name}", f"arn:aws:states:::states:startExecution.{resource}", arguments)
    cloud.allow(f"parent-{name}", "states:StartExecution", child_arn)
    assert run(workflows, arn)["error"] == "StepFunctions.AWSStepFunctionsException"
    cloud.allow(f"parent-{name}", "states:DescribeExecution", "*")
    assert output(run(workflows, arn))["Output"] == expected


def test_an_error_of_cognito_has_the_name_of_the_sdk_for_java(cloud: Cloud, workflows: Any) -> None:
    """Learning to use AWS SDK service integrations: the exception prefix of `cognitoidentityprovider` is
    CognitoIdentityProvider.
    """
    pool = cloud.client("cognito-idp").create_user_pool(PoolName="deleting")["UserPool"]
    arguments = {"UserPoolId": pool["Id"], "Username": "{% $states.input.name %}"}
    catcher = {"ErrorEquals": ["CognitoIdentityProvider.UserNotFoundException"], "Next": "Gone"}
    resource = "arn:aws:states:::aws-sdk:cognitoidentityprovider:adminDeleteUser"
    delete = {"Type": "Task", "Resource": resource, "Arguments": arguments, "Catch": [catcher], "End": True}
    states = {"Delete": delete, "Gone": {"Type": "Pass", "Output": "gone", "End": True}}
    arn = create_state_machine(cloud, "deleting", StartAt="Delete", States=states)
    assert run(workflows, arn, {"name": "ada"})["error"] == "CognitoIdentityProvider.CognitoIdentityProviderException"
    cloud.allow("deleting", "cognito-idp:AdminDeleteUser", pool["Arn"])
    cloud.client("cognito-idp").admin_create_user(UserPoolId=pool["Id"], Username="ada", MessageAction="SUPPRESS")
    assert output(run(workflows, arn, {"name": "ada"})) == {}
    assert output(run(workflows, arn, {"name": "ada"})) == "gone"


# ---- Executions ----


def test_an_execution_that_takes_too_long_is_timed_out_and_begins_no_further_state(
    cloud: Cloud, workflows: Any
) -> None:
    """State machine structure, TimeoutSeconds: "The maximum number of seconds an execution of the state machine can
    run. If it runs longer than the specified time, the execution fails with a States.Timeout Error Name."
    """
    slow = "import time\ndef handler(event, context):\n    time.sleep(2)\n"
    slow_arn = create_function(cloud, "slow", slow)
    queue_url, queue_arn = cloud.create_queue("after-the-end")
    send = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True}
    states = {
        "Slow": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": slow_arn},
            "Next": "Later",
        },
        "Later": {**send, "Arguments": {"QueueUrl": queue_url, "MessageBody": {"from": "impatient"}}},
    }
    arn = create_state_machine(cloud, "impatient", TimeoutSeconds=1, StartAt="Slow", States=states)
    cloud.allow("impatient", "lambda:InvokeFunction", slow_arn)
    cloud.allow("impatient", "sqs:SendMessage", queue_arn)
    answer = run(workflows, arn)
    assert (answer["status"], answer["error"]) == ("TIMED_OUT", "States.Timeout")
    assert "output" not in answer

    def slow_function_has_ended() -> bool:
        logs = cloud.client("logs")
        # MiniStack makes the log group when the first invocation has ended.
        return bool(logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/slow")["logGroups"])

    cloud.wait_for(slow_function_has_ended)
    # By the time that another execution has sent its message, this one would have, too.
    sender_arn = task(cloud, "patient", send["Resource"], {"QueueUrl": queue_url, "MessageBody": {"from": "patient"}})
    cloud.allow("patient", "sqs:SendMessage", queue_arn)
    output(run(workflows, sender_arn))
    assert cloud.messages(queue_url) == [{"from": "patient"}]
    history = workflows.get_execution_history(executionArn=answer["executionArn"])["events"]
    assert [event["type"] for event in history if event["type"].endswith("StateEntered")] == ["TaskStateEntered"]
    assert history[-1]["type"] == "ExecutionTimedOut"


def test_a_succeed_state_has_an_output(cloud: Cloud, workflows: Any) -> None:
    """Transforming data with JSONata: Output is a field of all states but Fail."""
    states = {"Done": {"Type": "Succeed", "Output": {"doubled": "{% $states.input.number * 2 %}"}}}
    arn = create_state_machine(cloud, "succeeding", StartAt="Done", States=states)
    assert output(run(workflows, arn, {"number": 4})) == {"doubled": 8}


def test_a_standard_state_machine_is_not_started_synchronously(cloud: Cloud, workflows: Any) -> None:
    """StartSyncExecution: "StartSyncExecution is not available for STANDARD workflows." """
    states = {"Pass": {"Type": "Pass", "End": True}}
    arn = create_state_machine(cloud, "standard", "STANDARD", StartAt="Pass", States=states)
    with pytest.raises(ClientError, match="StateMachineTypeNotSupported"):
        run(workflows, arn)


def test_a_result_has_a_maximum_size(cloud: Cloud, workflows: Any) -> None:
    """Error names, States.DataLimitExceeded: "A terminal error which cannot be caught by the States.ALL error type.
    Reported due to the following conditions: Output of a connector is larger than payload size quota."
    """
    cloud.client("s3").create_bucket(Bucket="large-objects")
    cloud.client("s3").put_object(Bucket="large-objects", Key="object", Body="x" * 300_000)
    states = {
        "Task": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
            "Arguments": {"Bucket": "large-objects", "Key": "object"},
            "Output": "small",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Done"}],
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
    }
    arn = create_state_machine(cloud, "swallowing", StartAt="Task", States=states)
    cloud.allow("swallowing", "s3:GetObject", "*")
    assert run(workflows, arn)["error"] == "States.DataLimitExceeded"


@pytest.mark.parametrize("field", ["Retry", "Catch"])
def test_a_runtime_error_is_neither_retried_nor_caught(cloud: Cloud, workflows: Any, field: str) -> None:
    """Error names: "A States.Runtime error isn't retriable, and will always cause the execution to fail. A retry or
    catch on States.ALL won't catch States.Runtime errors."
    """
    name = f"runtime-error-{field.lower()}"
    handler = {"ErrorEquals": ["States.ALL"], **({"Next": "Done"} if field == "Catch" else {})}
    states = {
        "Task": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:putItem",
            "Arguments": {"TableName": 1, "Unknown": "parameter"},
            field: [handler],
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
    }
    arn = create_state_machine(cloud, name, StartAt="Task", States=states)
    assert run(workflows, arn)["error"] == "States.Runtime"


def test_the_delay_of_a_retry_grows_up_to_a_maximum() -> None:
    """Retrying after an error, example of MaxDelaySeconds: "The first retry takes place after waiting for three
    seconds. The second and third retry attempts take place after waiting for five seconds".
    """
    retrier = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 3, "BackoffRate": 2, "MaxDelaySeconds": 5}
    assert [delay(retrier, retries) for retries in range(3)] == [3, 5, 5]


def test_jitter_spreads_the_delay_of_a_retry() -> None:
    """Retrying after an error, JitterStrategy: "the first retry interval is randomized between 0 and 2 seconds"."""
    retrier = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "JitterStrategy": "FULL"}
    delays = {delay(retrier, 0) for _ in range(100)}
    assert len(delays) > 1
    assert 0 <= min(delays) <= max(delays) <= 2


def delay(retrier: dict[str, Any], retries: int) -> float:
    found, _ = find_matching_retrier([retrier], "Error", {0: retries})
    assert found
    return found["IntervalSeconds"] * found["BackoffRate"] ** retries


def test_a_running_execution_of_a_standard_workflow_is_started_once(cloud: Cloud, workflows: Any) -> None:
    """API_StartExecution: "if you call StartExecution with the same name and input as a running execution, the call
    succeeds and return the same response as the original request. If the execution is closed or if the input is
    different, it returns a 400 ExecutionAlreadyExists error."
    """
    wait = {"Type": "Wait", "Seconds": 600, "End": True}
    arn = create_state_machine(cloud, "started-once", "STANDARD", StartAt="Wait", States={"Wait": wait})
    first, second = (workflows.start_execution(stateMachineArn=arn, name="one", input='{"a": 1}') for _ in range(2))
    assert (first["executionArn"], first["startDate"]) == (second["executionArn"], second["startDate"])
    with pytest.raises(workflows.exceptions.ExecutionAlreadyExists):
        workflows.start_execution(stateMachineArn=arn, name="one", input='{"a": 2}')
    workflows.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(workflows.exceptions.ExecutionAlreadyExists):
        workflows.start_execution(stateMachineArn=arn, name="one", input='{"a": 1}')


def test_a_name_that_an_execution_can_not_have_is_refused(cloud: Cloud, workflows: Any) -> None:
    """API_StartExecution: "A name must not contain white space, brackets, wildcard characters, special characters,
    control characters"; it has 1 to 80 characters.
    """
    arn = create_state_machine(cloud, "unnamed", "STANDARD", StartAt="End", States={"End": {"Type": "Succeed"}})
    for name in ("a b", "a\n", "<a>", "a*", "a/b", "a:b", 'a"', "a\\b", "\x85"):
        with pytest.raises(workflows.exceptions.InvalidName):
            workflows.start_execution(stateMachineArn=arn, name=name)
    with pytest.raises(ClientError, match="ValidationException"):
        workflows.start_execution(stateMachineArn=arn, name="x" * 81)
    assert workflows.start_execution(stateMachineArn=arn, name="x" * 80)
    assert workflows.start_execution(stateMachineArn=arn, name="7d1f2a8e-ü'()!@=+")


# ---- Distributed maps ----

CSV = 'name,number\r\nada,1\r\n"grace, or ""amazing"" \\\\ grace",2\r\nalan\r\n'
PROCESSOR = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
    "StartAt": "HasNumber",
    "States": {
        "HasNumber": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.row.number = '' %}", "Next": "NoNumber"}],
            "Default": "Number",
        },
        "NoNumber": {"Type": "Fail", "Error": "NoNumber", "Cause": "{% $states.input.row.name %}"},
        "Number": {"Type": "Succeed", "Output": "{% $number($states.input.row.number) + $states.input.plus %}"},
    },
}


def create_map(cloud: Cloud, name: str, **fields: Any) -> str:
    """A state machine that reads CSV of the bucket and key in its input, with the permissions to do it."""
    cloud.client("s3").create_bucket(Bucket=name)
    cloud.client("s3").put_object(Bucket=name, Key="rows.csv", Body=CSV)
    state = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
            "Arguments": {"Bucket": "{% $states.input.bucket %}", "Key": "{% $states.input.key %}"},
        },
        "ItemSelector": {"row": "{% $states.context.Map.Item.Value %}", "plus": "{% $states.input.plus %}"},
        "ItemProcessor": PROCESSOR,
        "End": True,
        **fields,
    }
    states = {"Map": state, "Caught": {"Type": "Succeed", "Output": "{% $states.input %}"}}
    arn = create_state_machine(cloud, name, "STANDARD", StartAt="Map", States=states)
    cloud.allow(name, "states:StartExecution", arn)
    cloud.allow(name, "s3:GetObject", f"arn:aws:s3:::{name}/*")
    return arn


def run_map(cloud: Cloud, workflows: Any, arn: str) -> dict[str, Any]:
    value = {"bucket": arn.rpartition(":")[2], "key": "rows.csv", "plus": 10}
    started = workflows.start_execution(stateMachineArn=arn, input=json.dumps(value))

    def execution() -> dict[str, Any]:
        return workflows.describe_execution(executionArn=started["executionArn"])

    cloud.wait_for(lambda: execution()["status"] != "RUNNING")
    return execution()


def test_a_map_reads_rows_selects_its_items_and_transforms_its_results(cloud: Cloud, workflows: Any) -> None:
    """How Step Functions parses input CSV files: "If the number of fields in a row is less than the number of fields in
    the header, Step Functions provides empty strings for the missing values." "You can preserve double quotes by
    repeating them." "You can preserve backslashes by repeating them."
    """
    processor = {"StartAt": "Row", "States": {"Row": {"Type": "Succeed"}}}
    arn = create_map(
        cloud,
        "mapped",
        ItemProcessor={**PROCESSOR, **processor},
        Output={"rows": "{% $states.result.row %}", "count": "{% $count($states.result) %}"},
    )
    assert output(run_map(cloud, workflows, arn)) == {
        "rows": [
            {"name": "ada", "number": "1"},
            {"name": 'grace, or "amazing" \\ grace', "number": "2"},
            {"name": "alan", "number": ""},
        ],
        "count": 3,
    }


def test_a_map_needs_permission_to_start_executions_of_its_own_state_machine(cloud: Cloud, workflows: Any) -> None:
    """IAM policies for using Distributed Map states: "Step Functions needs appropriate permissions to allow the state
    machine role to invoke the StartExecution API action for the Distributed Map state."
    """
    arn = create_map(cloud, "unpermitted")
    cloud.client("iam").delete_role_policy(RoleName="unpermitted", PolicyName="states-StartExecution")
    assert run_map(cloud, workflows, arn)["error"] == "States.Permissions"


def test_a_map_that_may_not_read_fails_with_its_reader(cloud: Cloud, workflows: Any) -> None:
    """Error names, States.ItemReaderFailed: "A Map state failed because it couldn't read from the item source specified
    in the ItemReader field."
    """
    arn = create_map(cloud, "unreadable")
    cloud.client("iam").delete_role_policy(RoleName="unreadable", PolicyName="s3-GetObject")
    assert run_map(cloud, workflows, arn)["error"] == "States.ItemReaderFailed"


def test_a_map_writes_its_results_by_status_with_a_manifest(cloud: Cloud, workflows: Any) -> None:
    """ResultWriter: "Step Functions exports executions with the same status to their respective files." "the
    Distributed Map state execution returns the Map Run ARN and data about the Amazon S3 export location". IAM policies
    for ResultWriter: PutObject is one of four actions that are the "least privileges required".
    """
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": "{% $states.input.bucket %}", "Prefix": "results"},
    }
    arn = create_map(cloud, "writing", ResultWriter=writer, ToleratedFailurePercentage=50)
    cloud.allow("writing", "s3:PutObject", "arn:aws:s3:::writing/results/*")
    refused = run_map(cloud, workflows, arn)
    assert (refused["status"], refused["error"]) == ("FAILED", "States.ResultWriterFailed")
    assert "s3:ListMultipartUploadParts" in refused["cause"]
    allow_writing(cloud, "writing")
    result = output(run_map(cloud, workflows, arn))
    folder = f"results/{result['MapRunArn'].rpartition(':')[2]}"
    assert result["ResultWriterDetails"] == {"Bucket": "writing", "Key": f"{folder}/manifest.json"}
    manifest = json.loads(read(cloud, "writing", f"{folder}/manifest.json"))
    assert (manifest["DestinationBucket"], manifest["MapRunArn"]) == ("writing", result["MapRunArn"])
    files = manifest["ResultFiles"]
    assert [file["Key"] for file in files["FAILED"]] == [f"{folder}/FAILED_0.json"]
    assert [file["Key"] for file in files["SUCCEEDED"]] == [f"{folder}/SUCCEEDED_0.json"]
    assert files["PENDING"] == []
    [failed] = json.loads(read(cloud, "writing", f"{folder}/FAILED_0.json"))
    assert (failed["Status"], failed["Error"], failed["Cause"]) == ("FAILED", "NoNumber", "alan")
    assert json.loads(failed["Input"]) == {"row": {"name": "alan", "number": ""}, "plus": 10}
    succeeded = json.loads(read(cloud, "writing", f"{folder}/SUCCEEDED_0.json"))
    assert [(child["Status"], child["Output"]) for child in succeeded] == [("SUCCEEDED", "11"), ("SUCCEEDED", "12")]
    counts = workflows.describe_map_run(mapRunArn=result["MapRunArn"])["itemCounts"]
    assert (counts["succeeded"], counts["failed"], counts["total"]) == (2, 1, 3)


def allow_writing(cloud: Cloud, name: str) -> None:
    for action in ("PutObject", "GetObject", "ListMultipartUploadParts", "AbortMultipartUpload"):
        cloud.allow(name, f"s3:{action}", f"arn:aws:s3:::{name}/*")


def read(cloud: Cloud, bucket: str, key: str) -> bytes:
    return cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def test_a_map_that_exceeds_its_tolerance_writes_its_results_and_fails(cloud: Cloud, workflows: Any) -> None:
    """Error names, States.ExceedToleratedFailureThreshold: "A Map state failed because the number of failed items
    exceeded the threshold specified in the state machine definition." ResultWriter, PENDING_n.json: "Contains the
    consolidated data for all child workflow executions that weren't started because the Map Run failed or aborted."
    """
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "exceeding", "Prefix": "results"}}
    catcher = {"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Caught"}
    arn = create_map(
        cloud, "exceeding", ResultWriter=writer, ToleratedFailurePercentage=20, MaxConcurrency=1, Catch=[catcher]
    )
    cloud.client("s3").put_object(Bucket="exceeding", Key="rows.csv", Body="name,number\nada,1\nalan,\ngrace,2\n")
    allow_writing(cloud, "exceeding")
    assert output(run_map(cloud, workflows, arn))["Error"] == "States.ExceedToleratedFailureThreshold"
    written = cloud.client("s3").list_objects_v2(Bucket="exceeding", Prefix="results/")["Contents"]
    names = sorted(content["Key"].rpartition("/")[2] for content in written)
    assert names == ["FAILED_0.json", "PENDING_0.json", "SUCCEEDED_0.json", "manifest.json"]
