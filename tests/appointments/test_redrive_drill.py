"""Changes are in failed batches, and the redrive is killed repeatedly: `make drill`."""

import os
import random
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from archived import archive_of, quarantined
from batches import archive, give_up, poisoned, records
from redrives import assert_nothing_left, command
from stack import Stack

pytestmark = pytest.mark.large
CHANGES = int(os.environ.get("ITEMS", "500"))
# Lambda's limit for an event that it sends to a function, without the event's frame.
PAYLOAD_LIMIT_BYTES = 6_000_000
# Up to 10,000 records, the maximum that the stream sends to a function.
BATCH_SIZES = [max(1, min(10_000, CHANGES // part)) for part in (1000, 100, 20, 10)]
KILLS = 3
DAY_SECONDS = 86_400


def timed(what: str, act: Callable[[], object]) -> None:
    start = time.monotonic()
    act()
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)


def test_changes_in_failed_batches_are_archived_exactly_once(stack: Stack, advisor: str, local_cloud: None) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    # Batches of other tests.
    assert_nothing_left(stack)
    drawn = random.Random(seed)
    changes = records(advisor, CHANGES)
    # Over four days, with some items that are not appointments.
    for index, change in enumerate(changes):
        change["dynamodb"]["ApproximateCreationDateTime"] -= 3 * DAY_SECONDS * (CHANGES - index) // CHANGES
    poison = set(drawn.sample(range(CHANGES), min(20, CHANGES // 20)))
    changes = [poisoned(change) if index in poison else change for index, change in enumerate(changes)]

    batches = []
    start = 0
    while start < CHANGES:
        batch = changes[start : start + drawn.choice(BATCH_SIZES)]
        size = len(str(batch))
        if size > PAYLOAD_LIMIT_BYTES:
            batch = batch[: len(batch) * PAYLOAD_LIMIT_BYTES // size]
        batches.append(batch)
        start += len(batch)
    attempted = [batch[: drawn.randrange(1, len(batch) + 1)] for batch in batches if drawn.random() < 0.5]
    with ThreadPoolExecutor(4) as pool:
        timed(
            f"{len(attempted)} attempts, cut short", lambda: list(pool.map(lambda one: archive(stack, one), attempted))
        )
        timed(f"{len(batches)} failed batches stored", lambda: list(pool.map(lambda one: give_up(stack, one), batches)))

    for kill in range(1, KILLS + 1):
        waiting = len(stack.objects("", "FailedBatchesBucketName"))
        process = subprocess.Popen([*command(stack, "--apply")], stdout=subprocess.DEVNULL)
        # At a random moment of this attempt.
        goal = waiting - waiting // (2 * KILLS)
        while len(stack.objects("", "FailedBatchesBucketName")) >= goal:
            assert process.poll() is None
        process.kill()
        process.wait()
        left = len(stack.objects("", "FailedBatchesBucketName"))
        print(f"redrive {kill}, killed: {waiting} batches waiting before, {left} after")
    assert stack.objects("", "FailedBatchesBucketName")
    timed("last redrive", lambda: subprocess.run(command(stack, "--apply"), check=True))

    rows = (
        archive_of(stack)
        .query(f"SELECT count(*), count(DISTINCT event_id) FROM archive WHERE advisor_id = '{advisor}'")
        .fetchone()
    )
    print(
        f"{rows[0]} rows in the archive, {rows[1]} of them distinct; {len(quarantined(stack, advisor))} in quarantine"
    )
    archived = {
        event
        for [event] in archive_of(stack)
        .query(f"SELECT event_id FROM archive WHERE advisor_id = '{advisor}'")
        .fetchall()
    }
    in_quarantine = [entry["record"]["eventID"] for entry in quarantined(stack, advisor)]
    assert rows[0] == rows[1]
    assert archived == {change["eventID"] for index, change in enumerate(changes) if index not in poison}
    assert sorted(in_quarantine) == sorted(changes[index]["eventID"] for index in poison)
