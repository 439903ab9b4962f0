"""A DAX cluster of a stack: what DAX refuses, and DAX Local behind TLS."""

import json
import socket
import ssl
import uuid
from typing import Any

import pytest
from directory_stack import NETWORK, SUBNETS
from local_cloud import dax_clusters
from local_cloud.faults import Faults
from local_cloud.servers import ServerMissing
from running_cloud import Cloud


def role(service: str) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": [trust]}
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": policy}}


RESOURCES = NETWORK | {
    "Role": role("dax.amazonaws.com"),
    "OtherRole": role("lambda.amazonaws.com"),
    "OtherVpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}},
    "OtherGroup": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "-", "VpcId": {"Ref": "OtherVpc"}},
    },
    "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "-", "VpcId": {"Ref": "Vpc"}}},
    "Subnets": {"Type": "AWS::DAX::SubnetGroup", "Properties": {"SubnetIds": SUBNETS}},
    "Parameters": {
        "Type": "AWS::DAX::ParameterGroup",
        "Properties": {"ParameterNameValues": {"query-ttl-millis": 5000}},
    },
    "Cluster": {
        "Type": "AWS::DAX::Cluster",
        "Properties": {
            "IAMRoleARN": {"Fn::GetAtt": "Role.Arn"},
            "NodeType": "dax.t3.small",
            "ReplicationFactor": 3,
            "ClusterEndpointEncryptionType": "TLS",
            "SubnetGroupName": {"Ref": "Subnets"},
            "ParameterGroupName": {"Ref": "Parameters"},
            "SecurityGroupIds": [{"Ref": "Group"}],
        },
    },
}
OUTPUTS = {
    "Name": {"Value": {"Ref": "Cluster"}},
    **{
        name: {"Value": {"Fn::GetAtt": f"Cluster.{name}"}}
        for name in ("Arn", "ClusterDiscoveryEndpoint", "ClusterDiscoveryEndpointURL")
    },
}
ABSENT = "absent"


def with_property(resource: str, name: str, value: Any) -> str:
    properties = {key: one for key, one in RESOURCES[resource]["Properties"].items() if key != name}
    if value != ABSENT:
        properties[name] = value
    return json.dumps({"Resources": RESOURCES | {resource: RESOURCES[resource] | {"Properties": properties}}})


@pytest.mark.parametrize(
    ("resource", "name", "value"),
    [
        ("Cluster", "IAMRoleARN", ABSENT),
        ("Cluster", "IAMRoleARN", {"Fn::GetAtt": "OtherRole.Arn"}),
        ("Cluster", "NodeType", ABSENT),
        ("Cluster", "NodeType", "cache.t4g.micro"),
        ("Cluster", "NodeType", "dax.t3.large"),
        ("Cluster", "ReplicationFactor", ABSENT),
        ("Cluster", "ReplicationFactor", 0),
        ("Cluster", "ReplicationFactor", 12),
        ("Cluster", "AvailabilityZones", ["us-east-1a"]),
        ("Cluster", "ClusterEndpointEncryptionType", "SSL"),
        ("Cluster", "ClusterName", "a-name-of-21-letters-"),
        ("Cluster", "ClusterName", "two--hyphens"),
        ("Cluster", "SubnetGroupName", "missing"),
        ("Cluster", "ParameterGroupName", "missing"),
        ("Cluster", "SecurityGroupIds", [{"Fn::GetAtt": "OtherGroup.GroupId"}]),
        ("Subnets", "SubnetIds", ABSENT),
        ("Subnets", "SubnetIds", ["subnet-missing"]),
        ("Parameters", "ParameterNameValues", {"ttl": 1}),
        ("Parameters", "ParameterNameValues", {"query-ttl-millis": -1}),
    ],
    ids=str,
)
def test_what_dax_refuses_is_refused(cloud: Cloud, resource: str, name: str, value: Any) -> None:
    stack = f"refused-{uuid.uuid4()}"
    [reason, *_] = cloud.deploy(
        stack, TemplateBody=with_property(resource, name, value), Capabilities=["CAPABILITY_IAM"]
    )
    assert name in reason or "Fault: " in reason or "Exception: " in reason or "InvalidSubnet: " in reason


@pytest.fixture(scope="module")
def cluster(cloud: Cloud) -> dict[str, str]:
    try:
        dax_clusters.dax_local_program()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    template = json.dumps({"Resources": RESOURCES, "Outputs": OUTPUTS})
    assert cloud.deploy("school", TemplateBody=template, Capabilities=["CAPABILITY_IAM"]) == []
    [stack] = cloud.client("cloudformation").describe_stacks(StackName="school")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def connect(cloud: Cloud, cluster: dict[str, str]) -> None:
    host, port = cluster["ClusterDiscoveryEndpoint"].rsplit(":", 1)
    trusted = ssl.create_default_context(cafile=cloud.certificate_authority)
    with socket.create_connection((host, int(port)), timeout=5) as plain:
        trusted.wrap_socket(plain, server_hostname=host).close()


def test_a_cluster_listens_with_tls_at_the_port_that_it_has_on_aws(cloud: Cloud, cluster: dict[str, str]) -> None:
    host, _, port = cluster["ClusterDiscoveryEndpoint"].partition(":")
    assert port == "9111"
    assert cluster["ClusterDiscoveryEndpointURL"] == f"daxs://{host}"
    assert cluster["Arn"] == f"arn:aws:dax:us-east-1:000000000000:cache/{cluster['Name']}"
    assert len(cluster["Name"]) <= 20
    connect(cloud, cluster)


def test_a_cluster_ends_and_comes_back_at_the_same_address(cloud: Cloud, cluster: dict[str, str]) -> None:
    faults, name = Faults(cloud.endpoint_url), f"dax/{cluster['Name']}"
    faults.kill(name)
    with pytest.raises(ConnectionRefusedError):
        connect(cloud, cluster)
    faults.start(name)
    connect(cloud, cluster)


def test_what_a_cluster_uses_can_not_be_deleted_before_it(cloud: Cloud, cluster: dict[str, str]) -> None:
    stacks = cloud.client("cloudformation")
    stacks.delete_stack(StackName="school")
    stacks.get_waiter("stack_delete_complete").wait(StackName="school", WaiterConfig={"Delay": 1})
    with pytest.raises(ConnectionRefusedError):
        connect(cloud, cluster)
