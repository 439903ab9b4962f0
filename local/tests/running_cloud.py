"""A local cloud as a test speaks to it."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config
from local_cloud import server

ACCESS_KEY_ID = server.CREDENTIALS["AWS_ACCESS_KEY_ID"]
SECRET_ACCESS_KEY = server.CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
REGION = server.CREDENTIALS["AWS_DEFAULT_REGION"]


class Cloud:
    """A running local cloud."""

    def __init__(self, port: int, log: Path) -> None:
        self.log = log
        self.certificate_authority = log.parent / server.CONTENTS / "certificates" / "authority.pem"
        self.endpoint_url = f"http://{server.HOST}:{port}"
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of the account's root user."""
        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(
                service,
                endpoint_url=self.endpoint_url,
                region_name=region,
                aws_access_key_id=ACCESS_KEY_ID,
                aws_secret_access_key=SECRET_ACCESS_KEY,
                # There is one host, also for StartSyncExecution, which has one of its own on AWS.
                config=Config(inject_host_prefix=False, max_pool_connections=100),
            )
        return self._clients[service, region]

    def deploy(self, stack: str, region: str = REGION, **template: Any) -> list[str]:
        """Creates a stack; why that failed, or nothing."""
        cloudformation = self.client("cloudformation", region)
        cloudformation.create_stack(StackName=stack, **template)

        def status() -> str:
            return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]

        self.wait_for(lambda: status() in ("CREATE_COMPLETE", "ROLLBACK_COMPLETE"))
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [event for page in pages for event in page["StackEvents"]]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"]

    def create_role(self, name: str, service: str) -> str:
        """A role that the service may assume, with no permissions yet."""
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        policy = {"Version": "2012-10-17", "Statement": [trust]}
        role = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(policy))
        return role["Role"]["Arn"]

    def allow(self, role: str, action: str, resource: str) -> None:
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self.client("iam").put_role_policy(
            RoleName=role, PolicyName=action.replace(":", "-"), PolicyDocument=json.dumps(policy)
        )

    def forbid(self, role: str, action: str) -> None:
        """Takes back what ``allow`` gave."""
        self.client("iam").delete_role_policy(RoleName=role, PolicyName=action.replace(":", "-"))

    def create_queue(self, name: str) -> tuple[str, str]:
        """The URL and the ARN of a new queue."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def let_rule_send(self, rule_arn: str, queue_url: str, queue_arn: str) -> None:
        """Gives the queue a policy that names the rule, and nobody else."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})

    def messages(self, queue_url: str) -> list[Any]:
        """What is in the queue, up to ten messages, and stays there."""
        received = self.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"]) for message in received.get("Messages", [])]

    def create_function(self, name: str, role_arn: str, code: str) -> str:
        """A Python function whose handler is ``handler``."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("function.py", code)
        return self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="function.handler",
            Role=role_arn,
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]

    def confirm_identity(self, identity: str) -> None:
        """Does what the owner of an identity of SES does."""
        parameters = {"identity": identity, "region": REGION}
        requests.get(f"{self.endpoint_url}/_local/confirm", params=parameters, timeout=10).raise_for_status()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.05)
