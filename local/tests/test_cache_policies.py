"""Cache policies and origin request policies that CloudFront refuses."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from distribution import ALL_VIEWER_EXCEPT_HOST, DISABLED, Edge, cache_policy, unique
from running_cloud import Cloud

AUTHORIZATION = {"HeaderBehavior": "whitelist", "Headers": {"Quantity": 1, "Items": ["Authorization"]}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # aws/aws-cdk#16977, aws/aws-cdk#13441; the words are in ballPointPenguin/artificial-u#116.
        (
            {"DefaultTTL": 0, "MaxTTL": 0, "EnableAcceptEncodingGzip": True},
            "The parameter EnableAcceptEncodingGzip is invalid for policy with caching disabled.",
        ),
        (
            {"DefaultTTL": 0, "MaxTTL": 0, "HeadersConfig": AUTHORIZATION},
            "The parameter HeaderBehavior is invalid for policy with caching disabled.",
        ),
        # aws-cloudformation/cloudformation-coverage-roadmap#571: "minTtl was larger than maxTtl".
        ({"MinTTL": 61}, "TTL"),
        ({"MaxTTL": 59}, "TTL"),
    ],
)
def test_a_cache_policy_that_contradicts_itself_is_refused(cloud: Cloud, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(cloud.client("cloudfront").exceptions.InvalidArgument, match=reason):
        cache_policy(cloud, **changes)


def test_a_cache_policy_may_cache_nothing_or_for_a_second(cloud: Cloud) -> None:
    cache_policy(cloud, DefaultTTL=0, MaxTTL=0)
    cache_policy(cloud, DefaultTTL=0, MaxTTL=1, HeadersConfig=AUTHORIZATION)


def test_an_origin_request_policy_does_not_name_authorization(cloud: Cloud) -> None:
    # aws/aws-cdk#13408.
    config = {
        "Name": unique("policy"),
        "HeadersConfig": AUTHORIZATION,
        "CookiesConfig": {"CookieBehavior": "none"},
        "QueryStringsConfig": {"QueryStringBehavior": "none"},
    }
    cloudfront = cloud.client("cloudfront")
    with pytest.raises(cloudfront.exceptions.InvalidArgument):
        cloudfront.create_origin_request_policy(OriginRequestPolicyConfig=config)


@pytest.mark.parametrize(
    ("behavior", "code"),
    [
        # aws-cloudformation/rain#517.
        ({"TargetOriginId": "other"}, "NoSuchOrigin"),
        # API_CreateDistribution, "Errors".
        ({"CachePolicyId": ALL_VIEWER_EXCEPT_HOST}, "NoSuchCachePolicy"),
        ({"OriginRequestPolicyId": DISABLED}, "NoSuchOriginRequestPolicy"),
        ({"ResponseHeadersPolicyId": DISABLED}, "NoSuchResponseHeadersPolicy"),
    ],
)
def test_a_distribution_names_what_exists(cloud: Cloud, behavior: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as error:
        Edge(cloud, behavior)
    assert error.value.response["Error"]["Code"] == code
