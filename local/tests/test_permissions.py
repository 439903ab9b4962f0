"""The page that tells which permissions were used, on MiniStack with IAM enforced."""

import json

import requests
from running_cloud import Cloud


def test_what_a_policy_allowed_is_told_once(cloud: Cloud) -> None:
    """Not AWS's: the local cloud's own."""
    queue_url, queue_arn = cloud.create_queue("told")
    role_arn = cloud.create_role("told", "states.amazonaws.com")
    cloud.allow("told", "sqs:SendMessage", f"{queue_arn}*")
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
    assert states.start_sync_execution(stateMachineArn=machine_arn)["status"] == "SUCCEEDED"

    def told() -> list[tuple[str, str]]:
        uses = requests.get(f"{cloud.endpoint_url}/_registrar/permissions", timeout=30).json()
        return [(use["action"], use["resource"]) for use in uses if use["principal"] == "told"]

    assert told() == [("sqs:SendMessage", f"{queue_arn}*")]
    assert told() == []
