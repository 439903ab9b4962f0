"""The page that tells which permissions were used, on MiniStack with IAM enforced."""

import json

import requests
from running_cloud import Cloud


def test_what_a_policy_allowed_or_not_is_told_once(cloud: Cloud) -> None:
    """Not AWS's: the local cloud's own."""
    queue_url, queue_arn = cloud.create_queue("told")
    role_arn = cloud.create_role("told", "states.amazonaws.com")
    send = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Arguments": {"QueueUrl": queue_url, "MessageBody": "text"},
        "End": True,
    }
    states = cloud.client("stepfunctions")
    machine_arn = states.create_state_machine(
        name="told",
        type="EXPRESS",
        roleArn=role_arn,
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Send", "States": {"Send": send}}),
    )["stateMachineArn"]

    def told() -> list[tuple[str, str, bool]]:
        uses = requests.get(f"{cloud.endpoint_url}/_local/permissions", timeout=30).json()
        return [(use["action"], use["resource"], use["allowed"]) for use in uses if use["principal"] == "told"]

    states.start_sync_execution(stateMachineArn=machine_arn)
    assert told() == [("sqs:SendMessage", queue_arn, False)]
    assert told() == []
    cloud.allow("told", "sqs:SendMessage", f"{queue_arn}*")
    states.start_sync_execution(stateMachineArn=machine_arn)
    # The role's policy allows it; the queue's says nothing of it.
    assert sorted(told()) == [("sqs:SendMessage", queue_arn, False), ("sqs:SendMessage", f"{queue_arn}*", True)]
