"""Targets of EventBridge rules, on MiniStack with IAM enforced."""

import json
from typing import Any

from running_cloud import Cloud


def put_rule(cloud: Cloud, name: str, target_arn: str) -> str:
    """A rule for events of its own name."""
    events = cloud.client("events")
    rule_arn = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "target", "Arn": target_arn}])
    return rule_arn


def put_event(cloud: Cloud, name: str, detail: dict[str, Any]) -> None:
    entry = {"Source": name, "DetailType": "test", "Detail": json.dumps(detail)}
    assert cloud.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def create_queue(cloud: Cloud, name: str) -> tuple[str, str]:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def messages(cloud: Cloud, queue_url: str) -> list[Any]:
    received = cloud.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return [json.loads(message["Body"]) for message in received.get("Messages", [])]


def test_a_rule_reaches_a_queue_only_when_the_queues_policy_names_the_rule(cloud: Cloud) -> None:
    """Using resource-based policies for Amazon EventBridge: "For Lambda, Amazon SNS, Amazon SQS, and Amazon CloudWatch
    Logs resources, EventBridge uses resource-based policies."
    """
    queue_url, queue_arn = create_queue(cloud, "guarded")
    rule_arn = put_rule(cloud, "permitted", queue_arn)
    put_rule(cloud, "stranger", queue_arn)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    put_event(cloud, "stranger", {})
    put_event(cloud, "permitted", {})
    cloud.wait_for(lambda: bool(messages(cloud, queue_url)))
    assert {message["source"] for message in messages(cloud, queue_url)} == {"permitted"}


def test_an_event_that_a_function_keeps_failing_ends_in_its_failure_destination(cloud: Cloud) -> None:
    """How Lambda handles errors and retries with asynchronous invocation: "If the function returns an error, by default
    Lambda attempts to run it two more times".
    """
    queue_url, queue_arn = create_queue(cloud, "failed")
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
    cloud.wait_for(lambda: bool(messages(cloud, queue_url)))
    [record] = messages(cloud, queue_url)
    assert record["requestPayload"]["detail"] == {"number": 1}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    logs = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/failing")["events"]
    assert len([event for event in logs if event["message"].startswith("START")]) == 3
