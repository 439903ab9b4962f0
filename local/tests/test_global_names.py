"""Names that a stack can't have because the account has them in another region, on MiniStack."""

import json
from typing import Any

import pytest
from running_cloud import Cloud

CONTROL = {
    "Type": "AWS::CloudFront::OriginAccessControl",
    "Properties": {
        "OriginAccessControlConfig": {
            "Name": "pages",
            "OriginAccessControlOriginType": "s3",
            "SigningBehavior": "always",
            "SigningProtocol": "sigv4",
        }
    },
}
POLICY = {
    "Type": "AWS::CloudFront::ResponseHeadersPolicy",
    "Properties": {
        "ResponseHeadersPolicyConfig": {
            "Name": "pages",
            "SecurityHeadersConfig": {"ContentTypeOptions": {"Override": True}},
        }
    },
}
DASHBOARD = {
    "Type": "AWS::CloudWatch::Dashboard",
    "Properties": {"DashboardName": "pages", "DashboardBody": json.dumps({"widgets": []})},
}


@pytest.mark.parametrize(
    ("resource", "refusal"),
    [
        # aws-samples/bedrock-chat#794.
        (CONTROL, "Resource of type 'AWS::CloudFront::OriginAccessControl' with identifier 'pages' already exists."),
        # aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws#884.
        (POLICY, "Another response headers policy with the same name already exists within the aws account."),
        # AWS::CloudWatch::Dashboard: "All dashboards in your account are global, not region-specific." The words are
        # those of ACloudGuru/serverless-plugin-aws-alerts#242.
        (DASHBOARD, "Dashboard 'pages' already exists"),
    ],
    ids=["origin access control", "response headers policy", "dashboard"],
)
def test_a_name_of_the_account_is_taken_in_every_region(cloud: Cloud, resource: dict[str, Any], refusal: str) -> None:
    name, template = resource["Type"].replace("::", "-"), json.dumps({"Resources": {"One": resource}})
    assert cloud.deploy(name, TemplateBody=template) == []
    [reason] = cloud.deploy(name, "eu-west-1", TemplateBody=template)
    assert refusal in reason
