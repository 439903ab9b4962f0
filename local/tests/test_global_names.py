"""Names that a stack can't have because the account has them in another region, on MiniStack."""

import json
from typing import Any

import boto3
import pytest
from running_cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud

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


def reasons(cloud: Cloud, region: str, resource: dict[str, Any]) -> str:
    """Why a stack of this resource could not be created in a region; nothing if it was."""
    cloudformation = boto3.client(
        "cloudformation",
        endpoint_url=cloud.endpoint_url,
        region_name=region,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )
    name = resource["Type"].replace("::", "-")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"One": resource}}))

    def events() -> list[dict[str, Any]]:
        return cloudformation.describe_stack_events(StackName=name)["StackEvents"]

    ends = {"CREATE_COMPLETE", "ROLLBACK_COMPLETE"}
    cloud.wait_for(
        lambda: any(
            event["ResourceType"] == "AWS::CloudFormation::Stack" and event["ResourceStatus"] in ends
            for event in events()
        )
    )
    return " ".join(event["ResourceStatusReason"] for event in events() if event["ResourceStatus"] == "CREATE_FAILED")


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
    assert reasons(cloud, REGION, resource) == ""
    assert refusal in reasons(cloud, "eu-west-1", resource)
