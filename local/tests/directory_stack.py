"""Stacks with a network, and clients of databases and caches, for the tests of the layers that make these real."""

import json
from typing import Any
from urllib.parse import urlencode

import boto3
import psycopg2
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from running_cloud import REGION, Cloud

NETWORK = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    "A": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/20", "AvailabilityZone": f"{REGION}a"},
    },
    "B": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.16.0/20", "AvailabilityZone": f"{REGION}b"},
    },
}
SUBNETS = [{"Ref": "A"}, {"Ref": "B"}]


def credentials(cloud: Cloud, role_arn: str) -> Credentials:
    """The credentials of a session of the role."""
    given = cloud.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def database_token(signer: Credentials, host: str, user: str) -> str:
    client = boto3.client(
        "rds",
        region_name=REGION,
        aws_access_key_id=signer.access_key,
        aws_secret_access_key=signer.secret_key,
        aws_session_token=signer.token,
    )
    return client.generate_db_auth_token(host, 5432, user)


def signed_token(signer: Credentials, service: str, host: str, user: dict[str, str]) -> str:
    """A token as each service takes it, for what the services' own clients don't do."""
    request = AWSRequest("GET", f"https://{host}/?{urlencode({'Action': 'connect'} | user)}")
    SigV4QueryAuth(signer, service, REGION, expires=900).add_auth(request)
    return request.url.removeprefix("https://")


def connect(cloud: Cloud, host: str, user: str, password: str, **settings: Any) -> Any:
    """A connection to the database ``school``, in TLS with a certificate that the cloud's authority has signed."""
    verified = {"sslmode": "verify-full", "sslrootcert": str(cloud.certificate_authority)}
    connection = psycopg2.connect(
        host=host, port=5432, user=user, password=password, dbname="school", **(verified | settings)
    )
    connection.autocommit = True
    return connection


def run(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def deploy(cloud: Cloud, stack: str, resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, str]:
    """The outputs of a new stack."""
    template = {
        "Resources": NETWORK | resources,
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    assert cloud.deploy(stack, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]) == []
    [deployed] = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in deployed["Outputs"]}
