"""What was given up goes back through the same functions, and is then done exactly once."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redrive
from cfnlint.decode import cfn_yaml
from stack import Stack, wait_until
from test_accounts import account, assert_one_account, messages_in, sign_up, students
from test_archive import appointments, archived, assert_archived_exactly_once, put_object_refused, quarantined
from test_imports import Imports, address, row, table

PROJECT = Path(__file__).parent.parent.parent
QUEUES = [
    "FailedBatchesQueueUrl",
    "FailedDeliveriesQueueUrl",
    "FailedAuditsQueueUrl",
    "FailedAccountRequestsQueueUrl",
    "FailedNotificationsQueueUrl",
    "FailedImportsQueueUrl",
]

Record = dict[str, Any]


def command(stack: Stack, *options: str) -> list[str]:
    return [sys.executable, str(PROJECT / "scripts/redrive.py"), stack.name.removeprefix("registrar-"), *options]


def run(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    wide = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command(stack, *options), env=wide, capture_output=True, text=True, check=False, timeout=120)


def assert_nothing_left(stack: Stack, *options: str) -> None:
    done = run(stack, "--apply", *options)
    assert done.returncode == 0, done.stdout + done.stderr


def records(advisor: str, count: int) -> list[Record]:
    """Records of a stream, of bookings with one advisor."""
    now = time.time_ns()
    images = [{name: {"S": value} for name, value in item.items()} for item in appointments(advisor, count)]
    return [
        {
            "eventID": uuid.uuid4().hex,
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "ApproximateCreationDateTime": now // 1_000_000_000,
                "Keys": {name: image[name] for name in ("advisor_id", "starts_at")},
                "NewImage": image,
                "SequenceNumber": str(now * 1000 + index),
            },
        }
        for index, image in enumerate(images)
    ]


def poisoned(record: Record) -> Record:
    """The record of an item that is no appointment."""
    image = {name: value for name, value in record["dynamodb"]["NewImage"].items() if name != "student_id"}
    return record | {"dynamodb": record["dynamodb"] | {"NewImage": image}}


def put(stack: Stack, bucket: str, key: str, content: Any) -> str:
    stack.client("s3").put_object(Bucket=stack.outputs[bucket], Key=key, Body=json.dumps(content))
    return key


def archive(stack: Stack, batch: list[Record]) -> None:
    function, payload = stack.outputs["ArchiveAppointmentsFunctionName"], json.dumps({"Records": batch})
    stack.client("lambda").invoke(FunctionName=function, Payload=payload)


def give_up(stack: Stack, batch: list[Record]) -> str:
    """Puts a batch as Lambda does."""
    invocation = {
        "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 3},
        "DDBStreamBatchInfo": {"batchSize": len(batch)},
        "payload": json.dumps({"Records": batch}),
    }
    key = f"aws/lambda/mapping/shard/2026/11/21/2026-11-21T09.00.00-{uuid.uuid4()}"
    return put(stack, "FailedBatchesBucketName", key, invocation)


def quarantine(
    stack: Stack, run: list[Record], reason: str = "not a valid appointment, because student_id is not a text"
) -> str:
    """Puts records as archive-appointments does."""
    name = f"{run[0]['dynamodb']['SequenceNumber']}-{run[0]['eventID']}"
    entries = [{"reason": reason, "record": record} for record in run]
    return put(stack, "ArchiveBucketName", f"quarantine/appointments/{name}.json", entries)


def send(stack: Stack, output: str, body: Any, error_code: str | None = None) -> None:
    """Puts a message into a queue, with EventBridge's attribute if it is a rule that could not deliver it."""
    attributes = {"ERROR_CODE": {"DataType": "String", "StringValue": error_code}} if error_code else {}
    stack.client("sqs").send_message(
        QueueUrl=stack.outputs[output], MessageBody=json.dumps(body), MessageAttributes=attributes
    )


@contextmanager
def disabled(stack: Stack, rule: str, bus: str = "default") -> Iterator[None]:
    """A rule that delivers nothing, for as long as it takes."""
    events = stack.client("events")
    [name] = [one["Name"] for one in events.list_rules(EventBusName=bus)["Rules"] if rule in one["Name"]]
    events.disable_rule(Name=name, EventBusName=bus)
    try:
        yield
    finally:
        events.enable_rule(Name=name, EventBusName=bus)


def test_a_dry_run_shows_what_there_is_and_changes_nothing(stack: Stack, advisor: str) -> None:
    batch = records(advisor, 3)
    given_up = give_up(stack, batch[:2])
    in_quarantine = quarantine(stack, [batch[2]], "creation time -1e300 is not a date")
    send(stack, "FailedAccountRequestsQueueUrl", account(email="ada@private.example"))
    wait_until(lambda: messages_in(stack, "FailedBatchesQueueUrl") > 0, "there is a notice of the batch")
    before = [messages_in(stack, queue) for queue in QUEUES]

    shown = run(stack)

    assert shown.returncode == 0, shown.stderr
    assert "2 RetryAttemptsExhausted" in shown.stdout
    assert "1 creation time … is not a date" in shown.stdout
    assert not any(personal in shown.stdout for personal in ("private.example", "student-0", "é😀"))
    assert archived(stack, advisor) == 0
    assert given_up in stack.objects(bucket="FailedBatchesBucketName")
    assert in_quarantine in stack.objects("quarantine/")
    visible = [
        stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.outputs[queue], AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]["ApproximateNumberOfMessages"]
        for queue in QUEUES
    ]
    assert [int(count) for count in visible] == before
    for bucket, key in (("FailedBatchesBucketName", given_up), ("ArchiveBucketName", in_quarantine)):
        stack.client("s3").delete_object(Bucket=stack.outputs[bucket], Key=key)
    for queue in ("FailedBatchesQueueUrl", "FailedAccountRequestsQueueUrl"):
        stack.client("sqs").purge_queue(QueueUrl=stack.outputs[queue])


def test_batches_that_were_given_up_are_archived_exactly_once_whatever_of_them_was_written(
    stack: Stack, advisor: str
) -> None:
    # Poison in the middle makes three runs. The first attempt has written one, the second attempt two.
    batch = records(advisor, 90)
    batch[40] = poisoned(batch[40])
    for written in (batch[:30], batch[:41]):
        archive(stack, written)
    # Twice, as after a redrive that was killed before it could delete the object.
    given_up = [give_up(stack, batch), give_up(stack, batch)]
    notice = {"detail-type": "Object Created", "detail": {"object": {"key": given_up[0]}}}
    send(stack, "FailedDeliveriesQueueUrl", notice, "NO_PERMISSIONS")
    send(stack, "FailedDeliveriesQueueUrl", {"a schedule's": "input"})
    assert_nothing_left(stack)
    assert_archived_exactly_once(stack, advisor, 89)
    assert [entry["record"]["eventID"] for entry in quarantined(stack, advisor)] == [batch[40]["eventID"]]
    assert stack.objects(bucket="FailedBatchesBucketName") == {}
    assert messages_in(stack, "FailedBatchesQueueUrl") == messages_in(stack, "FailedDeliveriesQueueUrl") == 0


def test_a_redrive_that_is_killed_in_the_middle_is_run_again(stack: Stack, advisor: str) -> None:
    batch = records(advisor, 150)
    for start in range(0, 150, 5):
        give_up(stack, batch[start : start + 5])
    waiting = len(stack.objects(bucket="FailedBatchesBucketName"))
    process = subprocess.Popen(command(stack, "--apply"), stdout=subprocess.DEVNULL)
    while len(stack.objects(bucket="FailedBatchesBucketName")) == waiting:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert stack.objects(bucket="FailedBatchesBucketName")
    assert_nothing_left(stack)
    assert_archived_exactly_once(stack, advisor, 150)


def test_quarantined_records_are_archived_after_a_fix_and_the_rest_stays(stack: Stack, advisor: str) -> None:
    # As if what makes an appointment had been wrong, and were put right but for two records.
    batch = records(advisor, 6)
    poison = [poisoned(batch[3]), poisoned(batch[5])]
    first, second = quarantine(stack, [*batch[:3], poison[0], batch[4]]), quarantine(stack, [poison[1]])
    done = run(stack, "--apply", "--quarantine")
    assert done.returncode == 1
    assert "not a valid appointment" in done.stdout.partition("Left")[2]
    assert_archived_exactly_once(stack, advisor, 4)
    assert sorted((entry["record"] for entry in quarantined(stack, advisor)), key=str) == sorted(poison, key=str)
    assert second in stack.objects("quarantine/")
    assert first not in stack.objects("quarantine/")


def test_failed_requests_notifications_and_imports_are_dealt_with(stack: Stack, local_cloud: None) -> None:
    imports, asked, told, untold, imported = Imports(stack), account(), account(), account(), address()
    assert sign_up(stack, told).status_code == 201
    with disabled(stack, "AccountCreatedRule", stack.outputs["SchoolEventsName"]), disabled(stack, "ImportsRule"):
        assert sign_up(stack, untold).status_code == 201
        put = imports.put(table(row(imported)))
    assert_one_account(stack, told["email"])
    [untold_id, told_id] = [students(stack, one["email"])[0]["student_id"]["S"] for one in (untold, told)]
    key, version = put.split(" ")
    created = {"key": key, "version-id": version}

    send(stack, "FailedAccountRequestsQueueUrl", asked)
    account_created = {"detail-type": "AccountCreated", "detail": {"student_id": untold_id}}
    send(stack, "FailedNotificationsQueueUrl", account_created, "NO_PERMISSIONS")
    email_sent = {"detail-type": "Email Sent", "detail": {"mail": {"tags": {"student_id": [told_id]}}}}
    send(stack, "FailedNotificationsQueueUrl", email_sent, "NO_PERMISSIONS")
    event = {"time": "2026-11-20T10:30:00Z", "detail": {"object": created}}
    send(stack, "FailedImportsQueueUrl", event, "NO_PERMISSIONS")
    assert_nothing_left(stack)

    for one in (asked, untold, told):
        assert_one_account(stack, one["email"])
    assert [one["result"] for one in imports.results(put)] == ["created"]


def test_failed_audits_are_made_good(stack: Stack, advisor: str) -> None:
    dynamodb, ledger = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    for record in records(advisor, 2):
        archive(stack, [record])
    keys = [key for [key] in stack.query_archive(f"SELECT key FROM archive WHERE advisor_id = '{advisor}'").fetchall()]

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
        for key, etag in stack.objects("appointments/").items()
        if key in keys
    )
    send(stack, "FailedAuditsQueueUrl", by_rule, "NO_PERMISSIONS")
    invocation = {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": by_function}
    send(stack, "FailedAuditsQueueUrl", invocation | {"responsePayload": {"errorType": "AuditError"}})
    assert_nothing_left(stack)
    assert len(entries()) == 2


def test_what_still_fails_stays_and_so_does_what_was_not_chosen(stack: Stack, advisor: str) -> None:
    batch = records(advisor, 2)
    kept = {give_up(stack, batch[:1]), quarantine(stack, batch[1:])}
    queue = stack.outputs["FailedAuditsQueueUrl"]
    send(stack, "FailedAuditsQueueUrl", {"detail": {"object": {"key": "student-0"}}})
    with put_object_refused(stack, "appointments/"):
        done = run(stack, "--apply")
    assert done.returncode == 1
    assert "records could not be written" in done.stdout
    assert "audit-archive fails" in done.stdout
    assert "student-0" not in done.stdout
    assert kept <= {*stack.objects(bucket="FailedBatchesBucketName"), *stack.objects("quarantine/")}
    [message] = stack.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    stack.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    assert run(stack, "--apply", "--quarantine").returncode == 1
    assert archived(stack, advisor) == 0, "the batches come first"
    assert_nothing_left(stack)
    assert_archived_exactly_once(stack, advisor, 1)


def test_no_dead_letter_queue_is_forgotten(stack: Stack) -> None:
    outputs = {source.output for source in redrive.sources(stack) if isinstance(source, redrive.Queue)}
    template = cfn_yaml.load(str(PROJECT / "template.yaml"))["Resources"]
    queues = {name for name, one in template.items() if one["Type"] == "AWS::SQS::Queue" and name.startswith("Failed")}
    assert outputs == {f"{queue}Url" for queue in queues}
