"""A function drops records, objects and ledger entries are deleted, and a reconciliation repairs it: `make drill`."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from archived import Table, appointments, archive_of, assert_archived_exactly_once
from reconciliations import ledger, progress, records_dropped, short_invocations, start, wait_for_end
from redrives import assert_nothing_left
from stack import Stack, wait_until
from test_backfill import by_key, current, replayed

pytestmark = pytest.mark.large
ITEMS = int(os.environ.get("ITEMS", "500")) // 5
ADVISORS = 20
# Separates these items from other tests' and from the canary's.
OURS = "drill-reconciliation-"
WRITERS = 4
# Makes hundreds of objects if there are many items.
BATCH_SIZE = max(1, min(100, ITEMS // 20))
# One record in a hundred, and a larger part if there are few items.
DROPPED = min(0.5, max(0.01, 20 / ITEMS))
SECONDS = 60 if ITEMS >= 10_000 else 15


def damage(stack: Stack, drawn: random.Random) -> int:
    """Deletes one object in ten, one entry in ten, and falsifies one entry in ten; returns how many each is."""
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    dynamodb, table = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    entries = ledger(stack)
    some = len(entries) // 10
    drawn_keys = drawn.sample(sorted(entries), 3 * some)
    # An object that is deleted together with its entry leaves no trace; its changes are found missing one by one.
    deleted, forgotten, falsified = (drawn_keys[place::3] for place in range(3))
    for key in deleted:
        s3.delete_object(Bucket=bucket, Key=key)
    for key in falsified:
        # The entry looks as if its changes cancelled each other out, and agrees with the listing.
        dynamodb.put_item(TableName=table, Item=entries[key] | {"days": {"M": {}}})
    for key in forgotten:
        dynamodb.delete_item(TableName=table, Key={name: entries[key][name] for name in ("dt", "object_key")})
    print(
        f"{len(entries)} objects: {some} deleted, {some} entries of the ledger forgotten, {some} falsified", flush=True
    )
    return some


def reconcile(stack: Stack) -> dict[str, int]:
    started = time.monotonic()
    run = start(stack, grace_seconds=SECONDS)
    ended = wait_for_end(stack, run, 900)
    assert ended["status"] == "SUCCEEDED", ended
    seen = progress(stack, run)
    print(f"reconciled in {time.monotonic() - started:.0f} s: {seen}", flush=True)
    return seen


def test_an_archive_that_was_damaged_everywhere_comes_to_what_the_table_is(stack: Stack, local_cloud: None) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    drawn = random.Random(seed)
    # A reconciliation repairs nothing while there are failed batches.
    assert_nothing_left(stack)
    table = Table(stack)
    items = [item for advisor in range(ADVISORS) for item in appointments(f"{OURS}{advisor}", ITEMS // ADVISORS)]
    changed, cancelled = items[::4], items[1::4]
    with records_dropped(stack, DROPPED, BATCH_SIZE), ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(table.put, [items[place::WRITERS] for place in range(WRITERS)]))
        table.put([item | {"topic": "changed"} for item in changed])
        table.delete(cancelled)
    sentinel = f"{OURS}sentinel"
    table.put(appointments(sentinel, 1))
    assert_archived_exactly_once(stack, sentinel, 1)
    wait_until(lambda: ledger(stack).keys() == archive_of(stack).objects().keys(), "the ledger is complete")

    def rows() -> tuple[int, ...]:
        return (
            archive_of(stack)
            .query(f"""SELECT count(*), count(DISTINCT event_id) FROM archive WHERE advisor_id LIKE '{OURS}%'""")
            .fetchone()
        )

    changes = len(items) + len(changed) + len(cancelled) + 1
    dropped = changes - rows()[0]
    print(f"{changes} changes, {dropped} of them dropped", flush=True)
    objects = archive_of(stack).objects().keys()
    deleted = damage(stack, drawn)
    with short_invocations(stack, SECONDS):
        seen = reconcile(stack)
        assert (seen["repaired"], seen["restored_objects"]) == (seen["missing"], deleted)
        assert 0 < seen["missing"] <= dropped
        again = reconcile(stack)
        assert [again[name] for name in ("missing", "restored_objects", "ledger_repairs")] == [0, 0, 0]
    total, distinct = rows()
    print(f"{total} rows, {distinct} of them distinct")
    assert total == distinct
    assert by_key(replayed(stack, f"advisor_id LIKE '{OURS}%'")) == by_key(current(stack, OURS))
    assert objects <= archive_of(stack).objects().keys()
    wait_until(lambda: ledger(stack).keys() == archive_of(stack).objects().keys(), "the ledger is complete")
