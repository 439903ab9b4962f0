"""CloudFront's public keys and key groups, by its API and in stacks."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from edge import Edge, Signer, public_key_config, unique
from running_cloud import Cloud


def template(key: dict[str, str], behavior: dict[str, Any] | None = None) -> str:
    resources = {
        "Key": {"Type": "AWS::CloudFront::PublicKey", "Properties": {"PublicKeyConfig": key}},
        "Group": {
            "Type": "AWS::CloudFront::KeyGroup",
            "Properties": {"KeyGroupConfig": {"Name": key["Name"], "Items": [{"Ref": "Key"}]}},
        },
        "Distribution": {
            "Type": "AWS::CloudFront::Distribution",
            "Properties": {
                "DistributionConfig": {
                    "Enabled": True,
                    "Origins": [{"Id": "one", "DomainName": "example.com", "CustomOriginConfig": {}}],
                    "DefaultCacheBehavior": {
                        "TargetOriginId": "one",
                        "ViewerProtocolPolicy": "redirect-to-https",
                        "TrustedKeyGroups": [{"Ref": "Group"}],
                    }
                    | (behavior or {}),
                }
            },
        },
    }
    return json.dumps({"Resources": resources})


def status(cloud: Cloud, stack: str) -> str:
    return cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]


def test_a_stack_has_a_key_a_group_and_a_behavior_that_trusts_it(cloud: Cloud) -> None:
    key = public_key_config(rsa.generate_private_key(65537, 2048).public_key())
    stack, stacks = unique("keys"), cloud.client("cloudformation")
    assert cloud.deploy(stack, TemplateBody=template(key)) == []
    found = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in stacks.describe_stack_resources(StackName=stack)["StackResources"]
    }
    cloudfront = cloud.client("cloudfront")
    group = cloudfront.get_key_group(Id=found["Group"])["KeyGroup"]["KeyGroupConfig"]
    assert group["Items"] == [found["Key"]]
    config = cloudfront.get_distribution(Id=found["Distribution"])["Distribution"]["DistributionConfig"]
    trusted = config["DefaultCacheBehavior"]["TrustedKeyGroups"]
    assert (trusted["Enabled"], trusted["Items"]) == (True, [found["Group"]])
    # aws-cloudformation/cloudformation-coverage-roadmap#924: a key can't be changed; a new one needs another name.
    other = public_key_config(rsa.generate_private_key(65537, 2048).public_key())
    changed = key | {"EncodedKey": other["EncodedKey"]}
    stacks.update_stack(StackName=stack, TemplateBody=template(changed))
    cloud.wait_for(lambda: status(cloud, stack) == "UPDATE_ROLLBACK_COMPLETE")
    assert cloudfront.get_public_key(Id=found["Key"])["PublicKey"]["PublicKeyConfig"]["EncodedKey"] == key["EncodedKey"]
    # aws/aws-cdk#12852: "Invalid request provided: AWS::CloudFront::PublicKey".
    [reason] = cloud.deploy(unique("keys"), TemplateBody=template(other | {"Name": key["Name"]}))
    assert "Invalid request provided: AWS::CloudFront::PublicKey" in reason
    stacks.delete_stack(StackName=stack)
    cloud.wait_for(lambda: found["Key"] not in str(cloudfront.list_public_keys()))


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "text",
        public_key_config(rsa.generate_private_key(65537, 1024).public_key())["EncodedKey"],
        public_key_config(rsa.generate_private_key(65537, 3072).public_key())["EncodedKey"],
        public_key_config(ec.generate_private_key(ec.SECP384R1()).public_key())["EncodedKey"],
    ],
    ids=["empty", "text", "RSA 1024", "RSA 3072", "P-384"],
)
def test_a_key_of_another_kind_is_refused(cloud: Cloud, encoded: str) -> None:
    # private-content-trusted-signers: "It must be in base64-encoded PEM format. It must be a 2048-bit key pair."
    # API_PublicKey: "CloudFront supports signed URLs and signed cookies with RSA 2048 or ECDSA 256 key signatures."
    config = {"CallerReference": unique("key"), "Name": unique("key"), "EncodedKey": encoded}
    with pytest.raises(cloud.client("cloudfront").exceptions.InvalidArgument):
        cloud.client("cloudfront").create_public_key(PublicKeyConfig=config)


def test_the_api_refuses_what_would_lock_readers_out(cloud: Cloud) -> None:
    cloudfront, signer = cloud.client("cloudfront"), Signer(cloud)

    def code(call: Any, **parameters: Any) -> str:
        with pytest.raises(ClientError) as error:
            call(**parameters)
        return error.value.response["Error"]["Code"]

    edge = Edge(cloud, signer.behavior)
    key = cloudfront.get_public_key(Id=signer.id)
    group = cloudfront.get_key_group(Id=signer.group)
    assert code(cloudfront.delete_public_key, Id=signer.id, IfMatch=key["ETag"]) == "PublicKeyInUse"
    assert code(cloudfront.delete_key_group, Id=signer.group, IfMatch=group["ETag"]) == "ResourceInUse"
    again = public_key_config(signer.key.public_key()) | {"Name": key["PublicKey"]["PublicKeyConfig"]["Name"]}
    assert code(cloudfront.create_public_key, PublicKeyConfig=again) == "PublicKeyAlreadyExists"
    # cloudfront-limits: "Public keys in a single key group: 5".
    many = [cloudfront.create_public_key(PublicKeyConfig=public_key_config(signer.key.public_key())) for _ in range(5)]
    config = {"Name": unique("group"), "Items": [signer.id, *(one["PublicKey"]["Id"] for one in many)]}
    assert code(cloudfront.create_key_group, KeyGroupConfig=config) == "TooManyPublicKeysInKeyGroup"
    config = edge.configuration | {"CallerReference": unique("reference")}
    behavior = edge.configuration["DefaultCacheBehavior"]
    trusted = {"Enabled": True, "Quantity": 1, "Items": ["d1111111-1111-1111-1111-111111111111"]}
    config |= {"DefaultCacheBehavior": behavior | {"TrustedKeyGroups": trusted}}
    # API_CreateDistribution: "TrustedKeyGroupDoesNotExist: The specified key group does not exist."
    assert code(cloudfront.create_distribution, DistributionConfig=config) == "TrustedKeyGroupDoesNotExist"


def test_accounts_as_signers_let_nobody_in(cloud: Cloud) -> None:
    # The local cloud has no key pairs of accounts.
    edge = Edge(cloud, {"TrustedSigners": {"Enabled": True, "Quantity": 1, "Items": ["self"]}})
    assert edge.get("/object").status_code == 403
