"""Requests from this machine count as TLS."""

import json

import boto3
import requests
from running_cloud import REGION, Cloud


def test_a_tls_only_bucket_takes_a_request_from_this_machine(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="tls-only")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::tls-only/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    # The root user isn't bound by policies.
    iam = cloud.client("iam")
    iam.create_user(UserName="writer")
    permission = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::tls-only/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [permission]})
    iam.put_user_policy(UserName="writer", PolicyName="write", PolicyDocument=policy)
    key = iam.create_access_key(UserName="writer")["AccessKey"]
    writer = boto3.client(
        "s3",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    writer.put_object(Bucket="tls-only", Key="object", Body=b"")


def test_a_distribution_does_not_redirect_a_viewer_on_this_machine_to_https(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket="pages")
    cloud.client("s3").put_object(Bucket="pages", Key="index.html", Body=b"Hello")
    behavior = {
        "TargetOriginId": "pages",
        "ViewerProtocolPolicy": "redirect-to-https",
        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
    }
    origin = {
        "Id": "pages",
        "DomainName": "pages.s3.us-east-1.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    configuration = {
        "CallerReference": "pages",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behavior,
    }
    distribution = cloud.client("cloudfront").create_distribution(DistributionConfig=configuration)["Distribution"]
    answer = requests.get(
        f"{cloud.endpoint_url}/index.html",
        headers={"Host": distribution["DomainName"]},
        allow_redirects=False,
        timeout=30,
    )
    assert not answer.is_redirect
