"""The account workflow ends with an answer, whatever its input is."""

import json
from typing import Any

import boto3
from account_requests import account
from botocore.config import Config
from hostile import JSON, hostile, nearly
from hypothesis import example, given
from stack import Stack

ACCOUNT = account(email="hostile@school.example", given_name="Ada", family_name="Lovelace")


@given(typed=nearly(ACCOUNT) | JSON)
@example(typed=[ACCOUNT])
@hostile
def test_the_account_workflow_answers_any_input(stack: Stack, local_cloud: None, typed: Any) -> None:
    # On AWS, another host answers StartSyncExecution.
    states = boto3.client("stepfunctions", config=Config(inject_host_prefix=False))
    execution = states.start_sync_execution(stateMachineArn=stack.outputs["SchoolAccountArn"], input=json.dumps(typed))
    assert execution["status"] == "SUCCEEDED", execution
    answer = json.loads(execution["output"])
    assert answer["statusCode"] in {201, 409, 422, 503}
    assert json.loads(answer["body"])
