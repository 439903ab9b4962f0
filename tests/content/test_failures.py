"""What fails is kept, and is done again."""

import json
import uuid
from datetime import datetime, timedelta, timezone

import pay
import pytest
import queues
from deployed_content import Content
from faults import closed_to_rule, denied, put_object_refused
from redrives import assert_nothing_left
from stack import Stack, wait_until

FAILED_PAYMENTS = "FailedPaymentsQueueUrl"
FAILED_BATCHES = "FailedEntitlementBatchesBucketName"
ARCHIVE = "EntitlementsArchiveBucketName"

pytestmark = pytest.mark.usefixtures("local_cloud")


@pytest.mark.parametrize("place", ["the rule", "the function"])
def test_a_payment_that_cannot_be_recorded_is_kept_and_recorded_later(
    content: Content, stack: Stack, place: str
) -> None:
    assert_nothing_left(stack)
    student, until = f"student-{uuid.uuid4()}", datetime.now(timezone.utc) + timedelta(days=30)
    refused = (
        closed_to_rule(stack, "record-entitlement")
        if place == "the rule"
        else denied(stack, "record-entitlement", "dynamodb:PutItem")
    )
    with refused:
        pay.pay(stack, student, until)
        wait_until(lambda: queues.count(content.stack, FAILED_PAYMENTS) == 1, "the payment is in the queue")
    assert content.paid_until(student) is None
    assert_nothing_left(stack)
    assert content.paid_until(student) == int(until.timestamp())


def test_a_batch_that_failed_for_good_is_kept_and_archived_later(content: Content, stack: Stack) -> None:
    # Of other tests.
    assert_nothing_left(stack)
    functions = stack.client("lambda")
    [mapping] = functions.list_event_source_mappings(FunctionName=f"{stack.name}-archive-entitlements")[
        "EventSourceMappings"
    ]
    functions.update_event_source_mapping(UUID=mapping["UUID"], MaximumRetryAttempts=0)
    student = f"student-{uuid.uuid4()}"
    try:
        with put_object_refused(content.stack, "entitlements/", ARCHIVE):
            content.pay(student)
            wait_until(lambda: content.stack.objects("aws/lambda/", FAILED_BATCHES) != {}, "the batch is in its bucket")
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], MaximumRetryAttempts=-1)
    wait_until(
        lambda: queues.count(content.stack, "FailedEntitlementBatchesQueueUrl") > 0,
        "there is a message",
    )
    assert_nothing_left(stack)
    assert content.stack.objects("", FAILED_BATCHES) == {}


def test_an_item_that_is_no_entitlement_goes_to_quarantine(content: Content) -> None:
    dynamodb, table = content.stack.client("dynamodb"), content.stack.outputs["EntitlementsTableName"]
    key = {"student_id": {"S": f"student-{uuid.uuid4()}"}}
    dynamodb.put_item(TableName=table, Item=key)
    wait_until(lambda: content.stack.objects("quarantine/entitlements/", ARCHIVE) != {}, "it is in quarantine")
    # The deletion is no entitlement's, either.
    dynamodb.delete_item(TableName=table, Key=key)
    s3, bucket = content.stack.client("s3"), content.stack.outputs[ARCHIVE]
    wait_until(lambda: records(content) == 2, "its deletion is there, too")
    for name in content.stack.objects("quarantine/", ARCHIVE):
        s3.delete_object(Bucket=bucket, Key=name)


def records(content: Content) -> int:
    """The number of records in quarantine."""
    s3, bucket = content.stack.client("s3"), content.stack.outputs[ARCHIVE]
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"] for key in content.stack.objects("quarantine/", ARCHIVE)]
    return sum(len(json.load(body)) for body in bodies)
