"""The condition key of PutMetricData."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud


def test_a_metric_is_put_into_the_namespace_that_the_policy_names(cloud: Cloud) -> None:
    # "cloudwatch:namespace": "to limit the namespaces where the user can publish metrics" (CloudWatch User Guide).
    iam = cloud.client("iam")
    iam.create_user(UserName="canary")
    condition = {"StringEquals": {"cloudwatch:namespace": "School"}}
    statement = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="canary", PolicyName="metrics", PolicyDocument=policy)
    key = iam.create_access_key(UserName="canary")["AccessKey"]
    metrics = boto3.client(
        "cloudwatch",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    metrics.put_metric_data(Namespace="School", MetricData=[{"MetricName": "Freshness", "Value": 1}])
    with pytest.raises(ClientError, match="AccessDenied"):
        metrics.put_metric_data(Namespace="Other", MetricData=[{"MetricName": "Freshness", "Value": 1}])
