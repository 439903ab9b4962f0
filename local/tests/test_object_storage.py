"""Versions and missing objects in S3, on MiniStack with IAM enforced."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from distribution import DISABLED, Edge
from local_cloud.server import CREDENTIALS
from running_cloud import Cloud


def test_an_event_names_the_version_of_its_object(cloud: Cloud) -> None:
    """Event message structure of EventBridge: the example "Object created" has
    ``"version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"`` in ``detail.object``.
    """
    s3, events = cloud.client("s3"), cloud.client("events")
    queue_url, queue_arn = cloud.create_queue("versions")
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket="versions", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": ["versions"]}}}
    rule_arn = events.put_rule(Name="versions", EventPattern=json.dumps(pattern))["RuleArn"]
    cloud.let_rule_send(rule_arn, queue_url, queue_arn)
    events.put_targets(Rule="versions", Targets=[{"Id": "queue", "Arn": queue_arn}])

    put = {s3.put_object(Bucket="versions", Key="a", Body=body)["VersionId"] for body in (b"1", b"1")}
    cloud.wait_for(lambda: len(cloud.messages(queue_url)) == 2)
    assert len(put) == 2
    assert {message["detail"]["object"]["version-id"] for message in cloud.messages(queue_url)} == put


@pytest.mark.parametrize(("may_list", "status", "code"), [(True, 404, "NoSuchKey"), (False, 403, "AccessDenied")])
def test_only_who_may_list_a_bucket_learns_that_an_object_is_missing(
    cloud: Cloud, may_list: bool, status: int, code: str
) -> None:
    """GetObject: "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403 Access
    Denied error."
    """
    name = f"missing-{status}"
    cloud.client("s3").create_bucket(Bucket=name)
    cloud.client("s3").put_object(Bucket=name, Key="there", Body=b"")
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    actions = ["s3:GetObject", *(["s3:ListBucket"] if may_list else [])]
    statement = {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    s3 = boto3.client(
        "s3",
        endpoint_url=cloud.endpoint_url,
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    s3.get_object(Bucket=name, Key="there")
    with pytest.raises(ClientError) as refusal:
        s3.get_object(Bucket=name, Key="not there")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert refusal.value.response["Error"]["Code"] == code


def test_a_distribution_learns_that_an_object_is_missing_if_it_may_list_the_bucket(cloud: Cloud) -> None:
    edge, s3 = Edge(cloud, {"CachePolicyId": DISABLED}), cloud.client("s3")
    assert edge.get("/missing").status_code == 403
    policy = json.loads(s3.get_bucket_policy(Bucket=edge.bucket)["Policy"])
    [read] = policy["Statement"]
    listing = read | {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{edge.bucket}"}
    s3.put_bucket_policy(Bucket=edge.bucket, Policy=json.dumps(policy | {"Statement": [read, listing]}))
    assert edge.get("/missing").status_code == 404
    assert edge.get("/object").status_code == 200
