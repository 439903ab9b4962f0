"""Event source mappings of SQS queues, on MiniStack with IAM enforced."""

import json

import pytest
from running_cloud import Cloud

ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


@pytest.mark.parametrize("missing", ACTIONS)
def test_a_mapping_delivers_only_when_the_functions_role_may_read_the_queue(cloud: Cloud, missing: str) -> None:
    """Using Lambda with Amazon SQS, Execution Role Permissions: "Lambda needs the following permissions to manage
    messages in your Amazon SQS queue. Add them to your function's execution role."
    """
    name = f"without-{missing.partition(':')[2]}"
    queue_url, queue_arn = cloud.create_queue(name)
    # It is read over TLS.
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs = cloud.client("sqs")
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    role_arn = cloud.create_role(name, "lambda.amazonaws.com")
    for action in ACTIONS:
        cloud.allow(name, action, queue_arn)
    cloud.create_function(name, role_arn, "def handler(event, context):\n    pass\n")
    functions = cloud.client("lambda")
    mapping = functions.create_event_source_mapping(FunctionName=name, EventSourceArn=queue_arn)["UUID"]
    # Lambda makes no mapping without it, so it is taken away later.
    cloud.forbid(name, missing)
    sqs.send_message(QueueUrl=queue_url, MessageBody="{}")

    def result() -> str:
        return functions.get_event_source_mapping(UUID=mapping)["LastProcessingResult"]

    cloud.wait_for(lambda: result().startswith("PROBLEM"))
    assert missing in result()
    assert f"is not authorized to perform {missing} on {queue_arn}" in cloud.log.read_text()
    assert not is_invoked(cloud, name)
    cloud.allow(name, missing, queue_arn)
    cloud.wait_for(lambda: is_invoked(cloud, name))
    cloud.wait_for(lambda: left(cloud, queue_url) == 0)


def is_invoked(cloud: Cloud, function: str) -> bool:
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{function}")
    return bool(groups["logGroups"])


def left(cloud: Cloud, queue_url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(map(int, attributes.values()))
