"""CloudFront's public keys and key groups, by its API and in stacks."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from distribution import Edge, Signer, public_key_config, unique
from running_cloud import Cloud


def template(name: str, **keys: dict[str, str]) -> str:
    """A stack of keys by their logical ids, a group that has them all, and a distribution that trusts the group."""
    resources: dict[str, Any] = {
        logical_id: {"Type": "AWS::CloudFront::PublicKey", "Properties": {"PublicKeyConfig": key}}
        for logical_id, key in keys.items()
    }
    resources |= {
        "Group": {
            "Type": "AWS::CloudFront::KeyGroup",
            "Properties": {"KeyGroupConfig": {"Name": name, "Items": [{"Ref": logical_id} for logical_id in keys]}},
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
                    },
                }
            },
        },
    }
    return json.dumps({"Resources": resources})


def new_key() -> dict[str, str]:
    return public_key_config(rsa.generate_private_key(65537, 2048).public_key())


def update(cloud: Cloud, stack: str, name: str, **keys: dict[str, str]) -> str:
    """The status of the stack after the update."""
    stacks = cloud.client("cloudformation")
    stacks.update_stack(StackName=stack, TemplateBody=template(name, **keys))

    def status() -> str:
        return stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]

    cloud.wait_for(lambda: status() in ("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"))
    return status()


def test_a_stack_has_keys_a_group_and_a_behavior_that_trusts_it(cloud: Cloud) -> None:
    stack, stacks, cloudfront = unique("keys"), cloud.client("cloudformation"), cloud.client("cloudfront")
    first, second = new_key(), new_key()

    def physical_ids() -> dict[str, str]:
        resources = stacks.describe_stack_resources(StackName=stack)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def trusted() -> list[str]:
        return cloudfront.get_key_group(Id=physical_ids()["Group"])["KeyGroup"]["KeyGroupConfig"]["Items"]

    assert cloud.deploy(stack, TemplateBody=template(stack, First=first)) == []
    ids = physical_ids()
    assert trusted() == [ids["First"]]
    config = cloudfront.get_distribution(Id=ids["Distribution"])["Distribution"]["DistributionConfig"]
    group = config["DefaultCacheBehavior"]["TrustedKeyGroups"]
    assert (group["Enabled"], group["Items"]) == (True, [ids["Group"]])
    # aws-cloudformation/cloudformation-coverage-roadmap#924: a key can't be changed; a new one is another resource.
    assert update(cloud, stack, stack, First=first | {"EncodedKey": second["EncodedKey"]}) == "UPDATE_ROLLBACK_COMPLETE"
    assert update(cloud, stack, stack, Second=second, First=first) == "UPDATE_COMPLETE"
    assert trusted() == [physical_ids()["Second"], ids["First"]]
    assert update(cloud, stack, stack, Second=second) == "UPDATE_COMPLETE"
    assert trusted() == [physical_ids()["Second"]]
    assert physical_ids()["Group"] == ids["Group"]
    assert ids["First"] not in str(cloudfront.list_public_keys())
    # aws/aws-cdk#12852: "Invalid request provided: AWS::CloudFront::PublicKey".
    [reason] = cloud.deploy(unique("keys"), TemplateBody=template(unique("keys"), Key=second))
    assert "Invalid request provided: AWS::CloudFront::PublicKey" in reason
    stacks.delete_stack(StackName=stack)
    cloud.wait_for(lambda: second["Name"] not in str(cloudfront.list_public_keys()))


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
