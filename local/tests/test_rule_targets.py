"""Targets of EventBridge rules, on MiniStack with IAM enforced."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud


def put_rule(cloud: Cloud, name: str, target_arn: str) -> str:
    """A rule for events of its own name."""
    events = cloud.client("events")
    rule_arn = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "target", "Arn": target_arn}])
    return rule_arn


def put_event(cloud: Cloud, name: str, detail: dict[str, Any]) -> None:
    entry = {"Source": name, "DetailType": "test", "Detail": json.dumps(detail)}
    assert cloud.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def test_a_rule_reaches_a_queue_only_when_the_queues_policy_names_the_rule(cloud: Cloud) -> None:
    """Using resource-based policies for Amazon EventBridge: "For Lambda, Amazon SNS, Amazon SQS, and Amazon CloudWatch
    Logs resources, EventBridge uses resource-based policies."
    """
    queue_url, queue_arn = cloud.create_queue("guarded")
    rule_arn = put_rule(cloud, "permitted", queue_arn)
    put_rule(cloud, "stranger", queue_arn)
    cloud.let_rule_send(rule_arn, queue_url, queue_arn)
    put_event(cloud, "stranger", {})
    put_event(cloud, "permitted", {})
    cloud.wait_for(lambda: bool(cloud.messages(queue_url)))
    assert {message["source"] for message in cloud.messages(queue_url)} == {"permitted"}


def test_an_event_that_a_function_keeps_failing_ends_in_its_failure_destination(cloud: Cloud) -> None:
    """How Lambda handles errors and retries with asynchronous invocation: "If the function returns an error, by default
    Lambda attempts to run it two more times".
    """
    queue_url, queue_arn = cloud.create_queue("failed")
    role_arn = cloud.create_role("failing", "lambda.amazonaws.com")
    cloud.allow("failing", "sqs:SendMessage", queue_arn)
    function_arn = cloud.create_function("failing", role_arn, "def handler(event, context):\n    raise ValueError\n")
    rule_arn = put_rule(cloud, "failing", function_arn)
    functions = cloud.client("lambda")
    functions.add_permission(
        FunctionName="failing",
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )
    functions.put_function_event_invoke_config(
        FunctionName="failing", DestinationConfig={"OnFailure": {"Destination": queue_arn}}
    )
    put_event(cloud, "failing", {"number": 1})
    cloud.wait_for(lambda: bool(cloud.messages(queue_url)))
    [record] = cloud.messages(queue_url)
    assert record["requestPayload"]["detail"] == {"number": 1}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    logs = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/failing")["events"]
    assert len([event for event in logs if event["message"].startswith("START")]) == 3


@pytest.mark.parametrize(
    ("starter", "trusted", "is_started"),
    [
        ("events", "events", True),
        ("events", "scheduler", False),
        ("scheduler", "scheduler", True),
    ],
)
def test_a_rule_or_a_schedule_starts_a_state_machine_only_with_its_role(
    cloud: Cloud, starter: str, trusted: str, is_started: bool
) -> None:
    """EventBridge, PutTargets: "For EC2 instances, Kinesis Data Streams, Step Functions state machines and API Gateway
    APIs, EventBridge relies on IAM roles that you specify in the RoleARN argument in PutTargets." EventBridge
    Scheduler, Target: RoleArn is "the IAM role that EventBridge Scheduler will use for this target when the schedule is
    invoked", and Input is "The text, or well-formed JSON, passed to the target."
    """
    name = f"{starter}-by-{trusted}"
    queue_url, queue_arn = cloud.create_queue(name)
    send = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": queue_url, "MessageBody": "{% $states.input %}"},
        "End": True,
    }
    machine_role_arn = cloud.create_role(f"{name}-machine", "states.amazonaws.com")
    cloud.allow(f"{name}-machine", "sqs:SendMessage", queue_arn)
    machine_arn = cloud.client("stepfunctions").create_state_machine(
        name=name,
        roleArn=machine_role_arn,
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Send", "States": {"Send": send}}),
    )["stateMachineArn"]
    role_arn = cloud.create_role(name, f"{trusted}.amazonaws.com")
    target = {"Arn": machine_arn, "RoleArn": role_arn, "Input": json.dumps({"started": True})}

    def trigger(attempt: str) -> None:
        refused = refusals(cloud, machine_arn)
        if starter == "events":
            cloud.client("events").put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
            cloud.client("events").put_targets(Rule=name, Targets=[{"Id": "target", **target}])
            put_event(cloud, name, {})
        else:
            yesterday = datetime.now(timezone.utc) - timedelta(days=1)
            cloud.client("scheduler").create_schedule(
                Name=f"{name}-{attempt}",
                ScheduleExpression=f"at({yesterday:%Y-%m-%dT%H:%M:%S})",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target=target,
            )
        cloud.wait_for(lambda: refusals(cloud, machine_arn) > refused or bool(cloud.messages(queue_url)))

    trigger("unpermitted")
    assert cloud.messages(queue_url) == []
    cloud.allow(name, "states:StartExecution", machine_arn)
    trigger("permitted")
    assert cloud.messages(queue_url) == ([{"started": True}] if is_started else [])


def test_a_schedule_of_a_group_sends_to_a_queue_with_its_role_which_its_maker_may_pass(cloud: Cloud) -> None:
    """Setting up Amazon EventBridge Scheduler: the execution role needs sqs:SendMessage. The Service
    Authorization Reference: CreateSchedule is for ``schedule/<group>/<name>`` and needs iam:PassRole.
    """
    (queue_url, queue_arn), (dead_letters, dead_letter_arn) = cloud.create_queue("due"), cloud.create_queue("not-due")
    cloud.client("scheduler").create_schedule_group(Name="reminders")
    role = cloud.create_role("of-schedule", "scheduler.amazonaws.com")
    cloud.allow("of-schedule", "sqs:SendMessage", dead_letter_arn)
    iam = cloud.client("iam")
    iam.create_user(UserName="schedule-maker")
    key = iam.create_access_key(UserName="schedule-maker")["AccessKey"]
    scheduler = boto3.client(
        "scheduler",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )

    def allow_maker(action: str, resource: str) -> None:
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="schedule-maker", PolicyName=action.replace(":", "-"), PolicyDocument=policy)

    def schedule(name: str) -> None:
        scheduler.create_schedule(
            Name=name,
            GroupName="reminders",
            ScheduleExpression="at(2026-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": queue_arn,
                "RoleArn": role,
                "Input": '{"number": 1}',
                "DeadLetterConfig": {"Arn": dead_letter_arn},
            },
        )

    allow_maker("scheduler:CreateSchedule", "arn:aws:scheduler:*:*:schedule/default/*")
    with pytest.raises(ClientError, match="scheduler:CreateSchedule"):
        schedule("first")
    allow_maker("scheduler:CreateSchedule", "arn:aws:scheduler:*:*:schedule/reminders/*")
    with pytest.raises(ClientError, match=f"iam:PassRole.*{role}"):
        schedule("first")
    allow_maker("iam:PassRole", role)
    schedule("first")
    cloud.wait_for(lambda: cloud.messages(dead_letters) == [{"number": 1}])
    cloud.allow("of-schedule", "sqs:SendMessage", queue_arn)
    schedule("second")
    cloud.wait_for(lambda: cloud.messages(queue_url) == [{"number": 1}])


def refusals(cloud: Cloud, state_machine_arn: str) -> int:
    """How often the cloud's log says that something did not start this state machine."""
    return cloud.log.read_text().count(f"does not reach {state_machine_arn}")


def test_an_event_without_permission_goes_to_the_dead_letter_queue_whose_policy_names_the_rule(cloud: Cloud) -> None:
    """Using dead-letter queues to process undelivered events: "for errors that result from missing permissions to a
    target [...] EventBridge sends these events directly to the target DLQ, if you have specified one", with the
    attributes RULE_ARN, TARGET_ARN and ERROR_CODE.
    """
    events = cloud.client("events")
    _, target_arn = cloud.create_queue("closed")
    queue_url, queue_arn = cloud.create_queue("undelivered")
    for name in ("undelivered", "undelivered-stranger"):
        rule_arn = put_rule(cloud, name, target_arn)
        target = {"Id": "target", "Arn": target_arn, "DeadLetterConfig": {"Arn": queue_arn}}
        events.put_targets(Rule=name, Targets=[target])
        if name == "undelivered":
            cloud.let_rule_send(rule_arn, queue_url, queue_arn)
    put_event(cloud, "undelivered-stranger", {})
    put_event(cloud, "undelivered", {"number": 1})
    cloud.wait_for(lambda: bool(cloud.messages(queue_url)))
    [message] = cloud.client("sqs").receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )["Messages"]
    assert json.loads(message["Body"])["detail"] == {"number": 1}
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == target_arn
    assert attributes["RULE_ARN"].endswith("rule/undelivered")
    assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
