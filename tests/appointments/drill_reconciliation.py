"""`make drill`: a function drops records, objects and ledger entries are deleted, and a reconciliation repairs it."""

import io
import json
import os
import random
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from archived import Table, appointments, archive_of, assert_archived_exactly_once
from drill_backfill import scanned
from stack import Stack, wait_until
from test_backfill import by_key, replayed
from test_reconciliation import execution, ledger, progress, short_invocations, start

ITEMS = int(os.environ["ITEMS"]) // 5
ADVISORS = 20
# Separates these items from the canary's, as in the other drill.
OURS = "drill-reconciliation-"
WRITERS = 4
# Makes some hundred objects if there are many items.
BATCH_SIZE = max(1, min(100, ITEMS // 50))
AFTER = 20
# One record in a hundred, and a larger part if there are few items.
DROPPED = max(0.01, 20 / ITEMS)
SECONDS = 60 if ITEMS >= 10_000 else 15

DROPPING_CODE = """
import json, os, random
import boto3

def handler(event, context):
    kept = [record for record in event["Records"] if random.random() >= float(os.environ["DROPPED"])]
    print("dropped", len(event["Records"]) - len(kept))
    archive = {"FunctionName": os.environ["ARCHIVE"], "Payload": json.dumps({"Records": kept})}
    return json.loads(boto3.client("lambda").invoke(**archive)["Payload"].read())
"""


@contextmanager
def records_dropped(stack: Stack) -> Iterator[None]:
    """The stream drives a function that drops some records and passes on the others."""
    functions, iam, mapping = stack.client("lambda"), stack.client("iam"), stack.outputs["StreamMappingId"]
    archive = functions.get_function_configuration(FunctionName=stack.outputs["ArchiveAppointmentsFunctionName"])
    name = f"{stack.name}-dropping"
    policy = {"RoleName": archive["Role"].rpartition("/")[2], "PolicyName": name}
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": archive["FunctionArn"]}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archived:
        archived.writestr("code.py", DROPPING_CODE)
    functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="code.handler",
        Role=archive["Role"],
        Code={"ZipFile": code.getvalue()},
        Environment={"Variables": {"ARCHIVE": archive["FunctionName"], "DROPPED": str(DROPPED)}},
        Timeout=60,
    )
    batch_size = functions.get_event_source_mapping(UUID=mapping)["BatchSize"]
    functions.update_event_source_mapping(UUID=mapping, FunctionName=name, BatchSize=BATCH_SIZE)
    try:
        yield
        # These records come last and are not dropped. When they are archived, all earlier ones have been processed.
        after = f"{OURS}after"
        Table(stack).put(appointments(after, AFTER))
        found = f"SELECT count(*) FROM archive WHERE advisor_id = '{after}'"
        wait_until(lambda: archive_of(stack).query(found).fetchone() > (0,), "the stream has been read", 900)
    finally:
        original = {"FunctionName": archive["FunctionName"], "BatchSize": batch_size}
        functions.update_event_source_mapping(UUID=mapping, **original)
        functions.delete_function(FunctionName=name)
        iam.delete_role_policy(**policy)


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
    wait_until(lambda: execution(stack, run)["status"] != "RUNNING", "the run has ended", 900)
    assert execution(stack, run)["status"] == "SUCCEEDED", execution(stack, run)
    seen = progress(stack, run)
    print(f"reconciled in {time.monotonic() - started:.0f} s: {seen}", flush=True)
    return seen


def test_an_archive_that_was_damaged_everywhere_comes_to_what_the_table_is(stack: Stack) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    drawn = random.Random(seed)
    table = Table(stack)
    items = [item for advisor in range(ADVISORS) for item in appointments(f"{OURS}{advisor}", ITEMS // ADVISORS)]
    changed, cancelled = items[::4], items[1::4]
    with records_dropped(stack), ThreadPoolExecutor(WRITERS) as pool:
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

    changes = len(items) + len(changed) + len(cancelled) + AFTER + 1
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
    assert by_key(replayed(stack, f"advisor_id LIKE '{OURS}%'")) == by_key(scanned(stack))
    assert objects <= archive_of(stack).objects().keys()
    wait_until(lambda: ledger(stack).keys() == archive_of(stack).objects().keys(), "the ledger is complete")
