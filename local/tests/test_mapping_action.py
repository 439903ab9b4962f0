"""The permission to read an event source mapping."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud


def test_a_mapping_is_read_by_who_may_get_it_and_not_by_who_may_only_list(cloud: Cloud) -> None:
    # "GetEventSourceMapping: Grants permission to view details about an AWS Lambda event source mapping"; it and
    # ListEventSourceMappings are actions of their own (Service Authorization Reference).
    iam = cloud.client("iam")
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    functions = boto3.client(
        "lambda",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )

    def allow(action: str) -> None:
        statement = {"Effect": "Allow", "Action": f"lambda:{action}", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="reader", PolicyName="mappings", PolicyDocument=policy)

    allow("GetEventSourceMapping")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        functions.get_event_source_mapping(UUID="11111111-2222-3333-4444-555555555555")
    with pytest.raises(ClientError, match="AccessDenied"):
        functions.list_event_source_mappings()
    allow("ListEventSourceMappings")
    with pytest.raises(ClientError, match="AccessDenied"):
        functions.get_event_source_mapping(UUID="11111111-2222-3333-4444-555555555555")
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []
