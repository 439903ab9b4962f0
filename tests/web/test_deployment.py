"""What the pages may call, as deployed in an empty account."""

import re

import pytest
from botocore.exceptions import ClientError

deployments = pytest.importorskip("deployments", reason="needs local/")
Cloud = deployments.Cloud


def test_the_pages_may_also_call_the_apis_that_a_parameter_lists(account: Cloud) -> None:
    urls = ["https://one.school.example", "https://two.school.example/live"]
    parameters = deployments.LOCAL_PARAMETERS | {"AdditionalApiUrls": ",".join(urls)}
    assert deployments.deploy(account, "more", **parameters) == []
    cloudfront = account.client("cloudfront")
    policies = [
        item["ResponseHeadersPolicy"]
        for item in cloudfront.list_response_headers_policies(Type="custom")["ResponseHeadersPolicyList"]["Items"]
    ]
    [config] = [
        policy["ResponseHeadersPolicyConfig"]
        for policy in policies
        if policy["ResponseHeadersPolicyConfig"]["Name"].startswith("more-")
    ]
    header = config["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    [connected] = re.findall("connect-src ([^;]*);", header)
    assert connected.split()[-2:] == urls


@pytest.mark.parametrize(
    "url", ["*", "https://*.school.example", "http://school.example", "https://a.example;script-src *"]
)
def test_no_parameter_opens_the_pages_to_everything(account: Cloud, url: str) -> None:
    with pytest.raises(ClientError, match="AdditionalApiUrls"):
        deployments.deploy(account, "open", **deployments.LOCAL_PARAMETERS, AdditionalApiUrls=url)
