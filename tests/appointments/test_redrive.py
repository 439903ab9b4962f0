"""Failed batches, quarantined records and failed audits go back through the same functions, once."""

import json
import subprocess
from typing import Any

import queues
from archived import archive_of, archived, assert_archived_exactly_once, quarantined
from batches import archive, give_up, poisoned, quarantine, records
from faults import put_object_refused
from redrives import assert_nothing_left, command, redrive
from rooms import PROJECT
from stack import Stack, wait_until

QUEUES = ["FailedBatchesQueueUrl", "FailedDeliveriesQueueUrl", "FailedAuditsQueueUrl"]


def test_a_dry_run_shows_what_there_is_and_changes_nothing(stack: Stack, advisor: str) -> None:
    # Batches of other tests.
    assert_nothing_left(stack)
    batch = records(advisor, 3)
    given_up = give_up(stack, batch[:2])
    in_quarantine = quarantine(stack, [batch[2]], "creation time -1e300 is not a date")
    wait_until(lambda: queues.count(stack, "FailedBatchesQueueUrl") > 0, "there is a notice of the batch")
    before = [queues.count(stack, queue) for queue in QUEUES]

    shown = redrive(stack)

    assert shown.returncode == 0, shown.stderr
    assert "2 RetryAttemptsExhausted" in shown.stdout
    assert "1 creation time … is not a date" in shown.stdout
    assert not any(personal in shown.stdout for personal in ("student-0", "é😀"))
    assert archived(stack, advisor) == 0
    assert given_up in stack.objects("", "FailedBatchesBucketName")
    assert in_quarantine in archive_of(stack).quarantine()
    visible = [
        stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.outputs[queue], AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]["ApproximateNumberOfMessages"]
        for queue in QUEUES
    ]
    assert [int(count) for count in visible] == before
    for bucket, key in (("FailedBatchesBucketName", given_up), ("ArchiveBucketName", in_quarantine)):
        stack.client("s3").delete_object(Bucket=stack.outputs[bucket], Key=key)
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["FailedBatchesQueueUrl"])


def test_batches_that_were_given_up_are_archived_exactly_once_whatever_of_them_was_written(
    stack: Stack, advisor: str
) -> None:
    # A bad record in the middle makes three runs. The first attempt has written one, the second attempt two.
    batch = records(advisor, 90)
    batch[40] = poisoned(batch[40])
    for written in (batch[:30], batch[:41]):
        archive(stack, written)
    # Twice, as after a redrive that was killed before it could delete the object.
    given_up = [give_up(stack, batch), give_up(stack, batch)]
    bucket = {"name": stack.outputs["FailedBatchesBucketName"]}
    notice = {"detail-type": "Object Created", "detail": {"bucket": bucket, "object": {"key": given_up[0]}}}
    queues.send(stack, "FailedDeliveriesQueueUrl", notice, "NO_PERMISSIONS")
    queues.send(stack, "FailedDeliveriesQueueUrl", {"a schedule's": "input"})
    assert_nothing_left(stack)
    assert_archived_exactly_once(stack, advisor, 89)
    assert [entry["record"]["eventID"] for entry in quarantined(stack, advisor)] == [batch[40]["eventID"]]
    assert stack.objects("", "FailedBatchesBucketName") == {}
    assert queues.count(stack, "FailedBatchesQueueUrl") == queues.count(stack, "FailedDeliveriesQueueUrl") == 0


def test_a_redrive_that_is_killed_in_the_middle_is_run_again(stack: Stack, advisor: str) -> None:
    batch = records(advisor, 150)
    for start in range(0, 150, 5):
        give_up(stack, batch[start : start + 5])
    waiting = len(stack.objects("", "FailedBatchesBucketName"))
    process = subprocess.Popen(command(stack, "--apply"), stdout=subprocess.DEVNULL)
    while len(stack.objects("", "FailedBatchesBucketName")) == waiting:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert stack.objects("", "FailedBatchesBucketName")
    assert_nothing_left(stack)
    assert_archived_exactly_once(stack, advisor, 150)


def test_quarantined_records_are_archived_after_a_fix_and_the_rest_stays(stack: Stack, advisor: str) -> None:
    # As if the definition of an appointment had been wrong, and were corrected, except for two records.
    batch = records(advisor, 6)
    poison = [poisoned(batch[3]), poisoned(batch[5])]
    first, second = quarantine(stack, [*batch[:3], poison[0], batch[4]]), quarantine(stack, [poison[1]])
    done = redrive(stack, "--apply", "--quarantine")
    assert done.returncode == 1
    assert "not a valid appointment" in done.stdout.partition("Left")[2]
    assert_archived_exactly_once(stack, advisor, 4)
    assert sorted((entry["record"] for entry in quarantined(stack, advisor)), key=str) == sorted(poison, key=str)
    assert second in archive_of(stack).quarantine()
    assert first not in archive_of(stack).quarantine()


def test_failed_audits_are_made_good(stack: Stack, advisor: str) -> None:
    dynamodb, ledger = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    for record in records(advisor, 2):
        archive(stack, [record])
    keys = [
        key for [key] in archive_of(stack).query(f"SELECT key FROM archive WHERE advisor_id = '{advisor}'").fetchall()
    ]

    def entries() -> list[dict[str, Any]]:
        pages = dynamodb.get_paginator("scan").paginate(TableName=ledger)
        return [item for page in pages for item in page["Items"] if item["object_key"]["S"] in keys]

    wait_until(lambda: len(entries()) == 2, "the objects are in the ledger")
    key_names = [one["AttributeName"] for one in dynamodb.describe_table(TableName=ledger)["Table"]["KeySchema"]]
    for item in entries():
        dynamodb.delete_item(TableName=ledger, Key={name: item[name] for name in key_names})

    event = json.loads((PROJECT / "events/appointments/audit-archive.json").read_text())
    by_rule, by_function = (
        event | {"detail": {"object": {"key": key, "size": 1, "etag": etag.strip('"'), "sequencer": "00"}}}
        for key, etag in archive_of(stack).objects().items()
        if key in keys
    )
    queues.send(stack, "FailedAuditsQueueUrl", by_rule, "NO_PERMISSIONS")
    invocation = {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": by_function}
    queues.send(stack, "FailedAuditsQueueUrl", invocation | {"responsePayload": {"errorType": "AuditError"}})
    assert_nothing_left(stack)
    assert len(entries()) == 2


def test_what_still_fails_stays_and_so_does_what_was_not_chosen(stack: Stack, advisor: str) -> None:
    batch = records(advisor, 2)
    kept = {give_up(stack, batch[:1]), quarantine(stack, batch[1:])}
    queue = stack.outputs["FailedAuditsQueueUrl"]
    queues.send(stack, "FailedAuditsQueueUrl", {"detail": {"object": {"key": "student-0"}}})
    with put_object_refused(stack, "appointments/", "ArchiveBucketName"):
        done = redrive(stack, "--apply")
    assert done.returncode == 1
    assert "records could not be written" in done.stdout
    assert "audit-archive fails" in done.stdout
    assert "student-0" not in done.stdout
    assert kept <= {*stack.objects("", "FailedBatchesBucketName"), *archive_of(stack).quarantine()}
    [message] = stack.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    stack.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    assert redrive(stack, "--apply", "--quarantine").returncode == 1
    assert archived(stack, advisor) == 0, "the batches come first"
    assert_nothing_left(stack)
    assert_archived_exactly_once(stack, advisor, 1)
