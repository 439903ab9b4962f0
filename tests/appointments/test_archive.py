"""Every change to the table is archived exactly once, or is in quarantine with its raw record, or raises an alarm."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import queues
from archived import (
    Item,
    Table,
    appointments,
    archive_of,
    archived,
    assert_archived_exactly_once,
    bodies,
    quarantined,
)
from boto3.dynamodb.types import TypeDeserializer
from faults import kill_function, put_object_refused
from stack import Stack, wait_until


@pytest.fixture(scope="module")
def table(stack: Stack) -> Table:
    return Table(stack)


def last_result(stack: Stack) -> str:
    mapping = stack.client("lambda").get_event_source_mapping(UUID=stack.outputs["StreamMappingId"])
    return mapping["LastProcessingResult"]


def test_ten_thousand_changes_are_archived_exactly_once_with_what_they_changed(
    stack: Stack, table: Table, advisor: str
) -> None:
    booked = appointments(advisor, 7000)
    changed = [item | {"topic": "changed"} for item in booked[:2000]]
    table.put(booked)
    table.put(changed)
    table.delete(booked[:1000])
    assert_archived_exactly_once(stack, advisor, 10_000)

    rows = (
        archive_of(stack)
        .query(
            f"""SELECT event_name, strftime(starts_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ'), student_id, topic,
        new_image, old_image,
        dt = CAST(event_time AT TIME ZONE 'UTC' AS DATE) AND event_source = 'aws:dynamodb'
        FROM archive WHERE advisor_id = '{advisor}' ORDER BY sequence_number::HUGEINT"""
        )
        .fetchall()
    )
    deserialize = TypeDeserializer().deserialize

    def image(text: str | None) -> Item | None:
        return text and {name: deserialize(value) for name, value in json.loads(text).items()}

    seen = [(*row[:4], image(row[4]), image(row[5]), row[6]) for row in rows]

    def expected(name: str, new: Item | None, old: Item | None) -> tuple[Any, ...]:
        item = new or old
        return (name, item["starts_at"], item["student_id"], item["topic"], new, old, True)

    assert seen[:7000] == [expected("INSERT", item, None) for item in booked]
    assert seen[7000:9000] == [expected("MODIFY", new, old) for new, old in zip(changed, booked, strict=False)]
    assert seen[9000:] == [expected("REMOVE", None, item) for item in changed[:1000]]


def days(images: list[tuple[str | None, str | None]]) -> dict[str, str]:
    """The sum of the changes from old to new images, as docs/appointments/archive.md describes it."""
    counts: Counter[str] = Counter()
    checksums: Counter[str] = Counter()
    for change in images:
        for sign, text in zip((-1, 1), change, strict=True):
            if text:
                image = json.loads(text)
                canonical = json.dumps(image, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                counts[image["starts_at"]["S"][:10]] += sign
                checksums[image["starts_at"]["S"][:10]] += sign * int(sha256(canonical.encode()).hexdigest()[:16], 16)
    return {date: f"{counts[date]:+} {checksums[date] % 2**64:016x}" for date in counts}


def test_the_ledger_agrees_with_the_archive(stack: Stack, table: Table, advisor: str) -> None:
    booked = appointments(advisor, 10)
    table.put(booked)
    table.put([item | {"topic": "changed"} for item in booked[:5]])
    table.delete(booked[:3])
    assert_archived_exactly_once(stack, advisor, 18)
    dynamodb = stack.client("dynamodb")

    def ledger() -> set[tuple[Any, ...]]:
        pages = dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["LedgerTableName"])
        deserialize = TypeDeserializer().deserialize
        items = [{name: deserialize(item[name]) for name in item} for page in pages for item in page["Items"]]
        fields = (
            "dt",
            "object_key",
            "row_count",
            "first_sequence_number",
            "last_sequence_number",
            "size_bytes",
            "etag",
        )
        return {(*(item[field] for field in fields), *sorted(item["days"].items())) for item in items}

    rows = (
        archive_of(stack)
        .query(
            """SELECT dt::VARCHAR, key, count(*), arg_min(sequence_number, sequence_number::HUGEINT),
        arg_max(sequence_number, sequence_number::HUGEINT), list((old_image, new_image))
        FROM archive GROUP BY dt, key"""
        )
        .fetchall()
    )
    sizes = {key: len(body) for key, body in bodies(stack, "appointments/").items()}
    etags = {key: etag.strip('"') for key, etag in archive_of(stack).objects().items()}
    expected = {(*row[:-1], sizes[row[1]], etags[row[1]], *sorted(days(row[-1]).items())) for row in rows}
    wait_until(lambda: ledger() == expected, "the ledger has every object as it is")


def test_a_poisonous_record_goes_raw_to_quarantine_and_blocks_nothing(stack: Stack, table: Table, advisor: str) -> None:
    good = appointments(advisor, 20)
    poison = {"advisor_id": advisor, "starts_at": "2030-13-99T99:99:99Z", "note": "no appointment"}
    table.put([*good[:10], poison, *good[10:]])
    assert_archived_exactly_once(stack, advisor, 20)
    wait_until(lambda: len(quarantined(stack, advisor)) == 1, "the poison is in quarantine")
    [entry] = quarantined(stack, advisor)
    assert entry["reason"].startswith("not a valid appointment")
    assert entry["record"]["dynamodb"]["NewImage"]["note"] == {"S": "no appointment"}


def test_what_changed_while_the_stream_was_not_read_is_archived_when_it_is(
    stack: Stack, table: Table, advisor: str
) -> None:
    functions, mapping = stack.client("lambda"), stack.outputs["StreamMappingId"]

    def switch(is_enabled: bool) -> None:
        functions.update_event_source_mapping(UUID=mapping, Enabled=is_enabled)
        state = "Enabled" if is_enabled else "Disabled"
        wait_until(lambda: functions.get_event_source_mapping(UUID=mapping)["State"] == state, f"it is {state}")

    items = appointments(advisor, 20)
    table.put(items[:10])
    switch(False)
    try:
        table.put(items[10:])
    finally:
        switch(True)
    assert_archived_exactly_once(stack, advisor, 20)


def test_an_outage_of_s3_loses_nothing_and_doubles_nothing(stack: Stack, table: Table, advisor: str) -> None:
    items = appointments(advisor, 300)
    with put_object_refused(stack, "appointments/", "ArchiveBucketName"):
        table.put(items[:200])
        wait_until(lambda: last_result(stack).startswith("PROBLEM"), "the function reports the outage")
        table.put(items[200:])
        assert archived(stack, advisor) == 0
    assert_archived_exactly_once(stack, advisor, 300)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the function in Linux's /proc")
def test_a_function_killed_in_the_middle_of_a_batch_loses_nothing_and_doubles_nothing(
    stack: Stack, table: Table, advisor: str, local_cloud: None
) -> None:
    # A bad record between the appointments makes a run of every three, so that a batch takes long enough to be killed.
    items = appointments(advisor, 600)
    poison = [{"advisor_id": advisor, "starts_at": f"poison-{index}"} for index in range(200)]
    before = len(archive_of(stack).quarantine())
    table.put([item for index in range(200) for item in (*items[3 * index : 3 * index + 3], poison[index])])
    wait_until(lambda: len(archive_of(stack).quarantine()) > before + 50, "the batch is under way")
    kill_function(f"{stack.name}-archive-appointments")
    assert len(archive_of(stack).quarantine()) < before + 200
    wait_until(lambda: last_result(stack).startswith("PROBLEM"), "the function has died in a batch")
    assert_archived_exactly_once(stack, advisor, 600)
    wait_until(lambda: len(quarantined(stack, advisor)) >= 200, "the poison is in quarantine")
    assert len({entry["record"]["eventID"] for entry in quarantined(stack, advisor)}) == 200
    assert len(quarantined(stack, advisor)) == 200


def test_a_batch_that_is_given_up_is_kept_with_its_records_and_raises_an_alarm(
    stack: Stack, table: Table, advisor: str
) -> None:
    functions, mapping = stack.client("lambda"), stack.outputs["StreamMappingId"]
    functions.update_event_source_mapping(UUID=mapping, MaximumRetryAttempts=0)
    try:
        with put_object_refused(stack, "appointments/", "ArchiveBucketName"):
            table.put(appointments(advisor, 3))

            def kept() -> set[str]:
                given_up = bodies(stack, bucket="FailedBatchesBucketName").values()
                batches = [json.loads(json.loads(body)["payload"]) for body in given_up]
                keys = [record["dynamodb"]["Keys"] for batch in batches for record in batch["Records"]]
                return {key["starts_at"]["S"] for key in keys if key["advisor_id"]["S"] == advisor}

            wait_until(lambda: len(kept()) == 3, "the records are in the bucket of failed batches")
    finally:
        functions.update_event_source_mapping(UUID=mapping, MaximumRetryAttempts=-1)
    notice = queues.wait_for(stack, "FailedBatchesQueueUrl", lambda event, attributes: True, "there is a notice")
    assert notice["detail"]["object"]["key"].startswith("aws/lambda/")


def test_an_object_that_can_not_be_audited_ends_in_the_queue_of_failed_audits(stack: Stack) -> None:
    key = "appointments/dt=2026-11-20/not-parquet"
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"not Parquet")
    try:
        failed = queues.wait_for(stack, "FailedAuditsQueueUrl", lambda event, attributes: True, "it is there")
        assert failed["requestPayload"]["detail"]["object"]["key"] == key
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
