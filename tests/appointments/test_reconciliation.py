"""Missing changes are found and archived, exactly; changes in the archive or on their way to it are left alone."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from archived import archive_of
from boto3.dynamodb.types import TypeSerializer
from reconciliations import (
    GRACE_SECONDS,
    execution,
    ledger,
    progress,
    records_dropped,
    short_invocations,
    start,
    wait_for_end,
)
from stack import Stack, wait_until

Item = dict[str, str]


@pytest.fixture(scope="module")
def reconciliation(stack: Stack) -> Iterator[Stack]:
    with short_invocations(stack, GRACE_SECONDS):
        yield stack


def image(item: Item) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


def put(stack: Stack, *items: Item) -> None:
    for item in items:
        stack.client("dynamodb").put_item(TableName=stack.outputs["AppointmentsTableName"], Item=image(item))


def delete(stack: Stack, item: Item) -> None:
    key = {name: value for name, value in image(item).items() if name in ("advisor_id", "starts_at")}
    stack.client("dynamodb").delete_item(TableName=stack.outputs["AppointmentsTableName"], Key=key)


def changes(stack: Stack, advisor: str, source: str = "%") -> list[tuple[Any, ...]]:
    """The archive's changes to an advisor's appointments, ordered for each appointment: event name and both images."""
    rows = (
        archive_of(stack)
        .query(
            f"""SELECT event_name, old_image, new_image FROM archive
        WHERE advisor_id = '{advisor}' AND event_source LIKE '{source}'
        ORDER BY starts_at, sequence_number::HUGEINT, event_time"""
        )
        .fetchall()
    )
    return [(name, old and json.loads(old), new and json.loads(new)) for name, old, new in rows]


def rows(stack: Stack, advisor: str) -> int:
    return len(changes(stack, advisor))


@contextmanager
def mapping_disabled(stack: Stack) -> Iterator[None]:
    functions, mapping = stack.client("lambda"), stack.outputs["StreamMappingId"]

    def has_state(state: str) -> bool:
        return functions.get_event_source_mapping(UUID=mapping)["State"] == state

    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    wait_until(lambda: has_state("Disabled"), "the mapping is disabled")
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
        wait_until(lambda: has_state("Enabled"), "the mapping is enabled")


def state_of_archive(stack: Stack) -> dict[tuple[str, str], Any]:
    """The state of each appointment after all of the archive's changes."""
    appointments: dict[tuple[str, str], Any] = {}
    rows = (
        archive_of(stack)
        .query("SELECT old_image, new_image FROM archive ORDER BY sequence_number::HUGEINT, event_time")
        .fetchall()
    )
    for old, new in rows:
        image = json.loads(new or old)
        key = (image["advisor_id"]["S"], image["starts_at"]["S"])
        appointments.pop(key, None)
        if new:
            appointments[key] = image
    return appointments


def table(stack: Stack) -> dict[tuple[str, str], Any]:
    """The table's appointments; other items are not archived."""
    items = [item for item in stack.items("AppointmentsTableName") if "student_id" in item]
    return {(item["advisor_id"]["S"], item["starts_at"]["S"]): item for item in items}


def object_of(stack: Stack, advisor: str, event_name: str) -> str:
    [[key], *_] = (
        archive_of(stack)
        .query(f"SELECT DISTINCT key FROM archive WHERE advisor_id = '{advisor}' AND event_name = '{event_name}'")
        .fetchall()
    )
    return key


class Damage:
    """An archive with every kind of damage that a reconciliation repairs, and with undamaged parts."""

    def __init__(self, stack: Stack) -> None:
        self.advisor = advisor = f"advisor-{uuid.uuid4()}"

        def item(hour: int, topic: str) -> Item:
            starts_at = f"2031-05-{1 + hour // 8:02}T{8 + hour % 8:02}:00:00Z"
            return {"advisor_id": advisor, "starts_at": starts_at, "student_id": "s-1", "topic": topic}

        # Booked and never changed: its change has the dates of the others.
        put(stack, *(item(hour, "quiet") for hour in range(8, 24)))
        changed, removed, changed_twice = item(0, "a"), item(1, "a"), item(2, "a")
        put(stack, changed, removed, changed_twice)
        wait_until(lambda: rows(stack, advisor) == 19, "19 changes are archived")
        inserted, come_and_gone = item(3, "a"), item(4, "a")
        with records_dropped(stack, share=1):
            put(stack, changed | {"topic": "b"}, changed_twice | {"topic": "b"}, inserted, come_and_gone)
            delete(stack, removed)
            delete(stack, come_and_gone)
        put(stack, changed_twice | {"topic": "c"})
        wait_until(lambda: rows(stack, advisor) == 20, "20 changes are archived")
        #: In the order of their appointments. Of what came and went unseen, nobody knows.
        self.missing = [
            ("MODIFY", image(changed), image(changed | {"topic": "b"})),
            ("REMOVE", image(removed), None),
            ("MODIFY", image(changed_twice), image(changed_twice | {"topic": "b"})),
            ("INSERT", None, image(inserted)),
        ]

        s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
        dynamodb, ledger_name = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
        wait_until(lambda: ledger(stack).keys() == archive_of(stack).objects().keys(), "the ledger is complete")
        self.ledger = ledger(stack)
        self.objects = archive_of(stack).objects()
        gone = object_of(stack, advisor, "INSERT")
        lied_about = object_of(stack, advisor, "MODIFY")
        s3.delete_object(Bucket=bucket, Key=gone)
        # It hides the object's changes, and agrees with the listing.
        entry = self.ledger[lied_about]
        wrong = {"M": {"2031-06-01": {"S": "+1 0123456789abcdef"}}}
        dynamodb.put_item(TableName=ledger_name, Item=entry | {"days": wrong})
        forgotten = self.put_changes_of_another_day(stack)
        entry = ledger(stack)[forgotten]
        dynamodb.delete_item(TableName=ledger_name, Key={name: entry[name] for name in ("dt", "object_key")})
        self.stale = forgotten.replace(".parquet", "-gone.parquet")
        stale = {"object_key": {"S": self.stale}, "days": wrong}
        dynamodb.put_item(TableName=ledger_name, Item=entry | stale)
        self.ledger[forgotten] = entry
        self.objects = archive_of(stack).objects() | {gone: self.objects[gone]}

    @staticmethod
    def put_changes_of_another_day(stack: Stack) -> str:
        """Makes an object, and returns its key once it is in the ledger."""
        advisor = f"advisor-{uuid.uuid4()}"
        put(stack, {"advisor_id": advisor, "starts_at": "2031-07-01T08:00:00Z", "student_id": "s-1"})
        wait_until(lambda: rows(stack, advisor) == 1, "it is archived")
        key = object_of(stack, advisor, "INSERT")
        wait_until(lambda: key in ledger(stack), "it is in the ledger")
        return key


@pytest.fixture(scope="module")
def damage(reconciliation: Stack) -> Damage:
    return Damage(reconciliation)


def test_what_is_missing_is_found_and_archived_again_exactly(reconciliation: Stack, damage: Damage) -> None:
    stack = reconciliation
    s3, bucket = stack.client("s3"), stack.outputs["FailedBatchesBucketName"]
    # A failed batch has to be redriven first, because redriving it later would double its changes.
    s3.put_object(Bucket=bucket, Key=f"aws/lambda/{uuid.uuid4()}", Body=b"{}")
    late = f"advisor-{uuid.uuid4()}"
    with mapping_disabled(stack):
        put(stack, {"advisor_id": late, "starts_at": "2031-05-01T08:00:00Z", "student_id": "s-1"})
        stopped = start(stack, grace_seconds=GRACE_SECONDS)
        wait_until(lambda: progress(stack, stopped)["step"] is not None, "the first run has begun")
        stack.client("stepfunctions").stop_execution(executionArn=execution(stack, stopped)["executionArn"])
        # While the stream brings nothing, no change is known to be lost.
        disabled = start(stack, grace_seconds=GRACE_SECONDS)
        ended = wait_for_end(stack, disabled)
        assert (ended["status"], ended["error"]) == ("FAILED", "MappingNotEnabled")
        refused = start(stack, grace_seconds=GRACE_SECONDS)
        wait_until(lambda: progress(stack, refused)["missing"] >= 5, "what is on its way is missing, too")
        assert wait_for_end(stack, start(stack))["error"] == "AnotherExecution"
    assert changes(stack, damage.advisor, "registrar:%") == []
    ended = wait_for_end(stack, refused)
    assert (ended["status"], ended["error"]) == ("FAILED", "FailedBatches")
    assert progress(stack, refused)["step"] == "confirm"

    for key in stack.objects("", "FailedBatchesBucketName"):
        s3.delete_object(Bucket=bucket, Key=key)
    run = start(stack, grace_seconds=GRACE_SECONDS)
    assert wait_for_end(stack, run)["status"] == "SUCCEEDED"
    assert changes(stack, damage.advisor, "registrar:reconciliation") == damage.missing
    assert changes(stack, late, "registrar:%") == []
    assert state_of_archive(stack) == table(stack)
    assert progress(stack, run)["missing"] == progress(stack, run)["repaired"]
    assert sum(progress(stack, name)["restored_objects"] for name in (stopped, disabled, refused, run)) == 1
    assert damage.objects.items() <= archive_of(stack).objects().items()
    entries = ledger(stack)
    assert damage.stale not in entries
    days = {key: entry["days"] for key, entry in damage.ledger.items()}
    assert {key: entries[key]["days"] for key in days} == days


def test_an_orderly_archive_is_left_alone(reconciliation: Stack, damage: Damage) -> None:
    before = archive_of(reconciliation).objects()
    run = start(reconciliation)
    assert wait_for_end(reconciliation, run)["status"] == "SUCCEEDED"
    seen = progress(reconciliation, run)
    assert seen["step"] == "table"
    assert [seen[name] for name in ("missing", "repaired", "restored_objects", "ledger_repairs")] == [0, 0, 0, 0]
    assert archive_of(reconciliation).objects() == before
