"""Clients of roles that anybody may assume."""

import json
import uuid
from typing import Any

import boto3
from directory_stack import credentials
from running_cloud import REGION, Cloud


def new_caller(cloud: Cloud, service: str) -> tuple[str, Any]:
    """The name of a new role without permissions, and a client of it."""
    name = f"caller-{uuid.uuid4()}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    key = credentials(cloud, role)
    client = boto3.client(
        service,
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        aws_session_token=key.token,
    )
    return name, client
