"""Exports of tables to S3.

Quotations are from the DynamoDB Developer Guide and its API Reference.
"""

import gzip
import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud
from sessions import new_caller

BUCKET = "exports"
# "Requesting a table export in DynamoDB", Setting up permissions.
OF_BUCKET = ("s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl")


@pytest.fixture(scope="module")
def table(cloud: Cloud) -> str:
    """The ARN of a table of a stack, with five items."""
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    properties = {
        "TableName": "exported",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    template = json.dumps({"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}})
    assert cloud.deploy("exported", TemplateBody=template) == []
    dynamodb = cloud.client("dynamodb")
    for number in range(5):
        dynamodb.put_item(TableName="exported", Item={"id": {"S": f"ä{number}"}, "n": {"N": str(number)}})
    return dynamodb.describe_table(TableName="exported")["Table"]["TableArn"]


def ended(cloud: Cloud, arn: str) -> dict[str, Any]:
    dynamodb = cloud.client("dynamodb")

    def description() -> dict[str, Any]:
        return dynamodb.describe_export(ExportArn=arn)["ExportDescription"]

    cloud.wait_for(lambda: description()["ExportStatus"] != "IN_PROGRESS")
    return description()


def test_an_export_has_each_item_and_a_manifest(cloud: Cloud, table: str) -> None:
    request = {"TableArn": table, "S3Bucket": BUCKET, "S3Prefix": "a/b", "ClientToken": str(uuid.uuid4())}
    started = cloud.client("dynamodb").export_table_to_point_in_time(**request)["ExportDescription"]
    export = ended(cloud, started["ExportArn"])
    assert (export["ExportStatus"], export["ItemCount"]) == ("COMPLETED", 5), export
    s3 = cloud.client("s3")
    folder = f"a/b/AWSDynamoDB/{export['ExportArn'].rpartition('/')[2]}"
    assert export["ExportManifest"] == f"{folder}/manifest-summary.json"
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/data/")["Contents"]]
    bodies = [gzip.decompress(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()).decode() for key in keys]
    items = [json.loads(line)["Item"] for body in bodies for line in body.splitlines()]
    assert sorted(items, key=json.dumps) == [{"id": {"S": f"ä{n}"}, "n": {"N": str(n)}} for n in range(5)]
    again = cloud.client("dynamodb").export_table_to_point_in_time(**request)["ExportDescription"]
    assert again["ExportArn"] == export["ExportArn"]
    with pytest.raises(ClientError, match="ExportConflictException"):
        cloud.client("dynamodb").export_table_to_point_in_time(**request | {"S3Prefix": "c"})


def test_a_table_without_point_in_time_recovery_is_not_exported(cloud: Cloud, table: str) -> None:
    """API_ExportTableToPointInTime: "The table must have point in time recovery enabled"."""
    dynamodb = cloud.client("dynamodb")
    created = dynamodb.create_table(
        TableName="without-recovery",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ClientError, match="PointInTimeRecoveryUnavailableException"):
        dynamodb.export_table_to_point_in_time(
            TableArn=created["TableDescription"]["TableArn"], S3Bucket=BUCKET, ClientToken="x"
        )


@pytest.mark.parametrize("missing", OF_BUCKET)
def test_an_export_fails_if_its_caller_may_not_write(cloud: Cloud, table: str, missing: str) -> None:
    name, dynamodb = new_caller(cloud, "dynamodb")
    cloud.allow(name, "dynamodb:ExportTableToPointInTime", table)
    for action in OF_BUCKET:
        if action != missing:
            cloud.allow(name, action, f"arn:aws:s3:::{BUCKET}/*")
    started = dynamodb.export_table_to_point_in_time(TableArn=table, S3Bucket=BUCKET)["ExportDescription"]
    export = ended(cloud, started["ExportArn"])
    assert (export["ExportStatus"], export["FailureMessage"]) == ("FAILED", f"Access denied: {missing}")


def test_a_policy_names_the_table_and_its_exports(cloud: Cloud, table: str) -> None:
    name, dynamodb = new_caller(cloud, "dynamodb")
    with pytest.raises(ClientError, match="dynamodb:ExportTableToPointInTime"):
        dynamodb.export_table_to_point_in_time(TableArn=table, S3Bucket=BUCKET)
    request = {"TableArn": table, "S3Bucket": BUCKET}
    started = cloud.client("dynamodb").export_table_to_point_in_time(**request)["ExportDescription"]
    with pytest.raises(ClientError, match="dynamodb:DescribeExport"):
        dynamodb.describe_export(ExportArn=started["ExportArn"])
    cloud.allow(name, "dynamodb:DescribeExport", f"{table}/export/*")
    assert dynamodb.describe_export(ExportArn=started["ExportArn"])["ExportDescription"]["TableArn"] == table
