"""A backfill archives items that the stream never brought, while others change, and is killed: `make drill`."""

import json
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event, Thread

import pytest
from archived import Item, Table, appointments, archive_of
from faults import kill_function
from reconciliations import short_invocations
from redrives import assert_nothing_left
from stack import Stack, wait_until
from test_backfill import by_key, command, current, replayed, unseen

pytestmark = pytest.mark.large
ITEMS = int(os.environ.get("ITEMS", "500"))
ADVISORS = 20
# Separates these items from other tests' and from the canary's.
OURS = "drill-backfill-"
# Longer than a change takes through the stream here, and than an invocation may last.
GRACE_SECONDS, INVOCATION_SECONDS = (185, 180) if ITEMS >= 10_000 else (15, 15)
# In the order of a reconciliation; after `find`, it waits for the stream.
STEPS = ["objects", "table", "find", "confirm", "repair"]
LOADERS = 4
CHANGES_AT_ONCE = 10


class Life:
    """Bookings, changes and cancellations during the backfill."""

    def __init__(self, table: Table, items: list[Item], seed: int) -> None:
        self._items = by_key(items)
        self.changes = 0
        self._table = table
        self._drawn = random.Random(seed)
        self._numbers = count()
        self._over = Event()
        self._thread = Thread(target=self._go_on)

    def __enter__(self) -> "Life":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._over.wait(1):
            known = self._drawn.sample(list(self._items.values()), 2 * CHANGES_AT_ONCE)
            cancelled = known[:CHANGES_AT_ONCE]
            changed = [item | {"topic": f"change {next(self._numbers)}"} for item in known[CHANGES_AT_ONCE:]]
            booked = appointments(f"{OURS}live-{next(self._numbers)}", CHANGES_AT_ONCE)
            self._table.put(changed + booked)
            self._table.delete(cancelled)
            self._items |= by_key(changed + booked)
            for key in by_key(cancelled):
                del self._items[key]
            self.changes += len(cancelled + changed + booked)


def test_items_that_the_stream_never_brought_are_archived_exactly_once(stack: Stack, local_cloud: None) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    # A backfill archives nothing while there are failed batches.
    assert_nothing_left(stack)
    table, states = Table(stack), stack.client("stepfunctions")
    advisors = [f"{OURS}{number}" for number in range(ADVISORS)]
    items = [item for advisor in advisors for item in appointments(advisor, ITEMS // ADVISORS)]
    started = time.monotonic()
    with unseen(stack, advisors), ThreadPoolExecutor(LOADERS) as pool:
        list(pool.map(table.put, [items[start : start + 1000] for start in range(0, ITEMS, 1000)]))
    print(f"{ITEMS} items that the stream never brought: {time.monotonic() - started:.0f} s", flush=True)

    def rows() -> tuple[int, ...]:
        return (
            archive_of(stack)
            .query(
                f"""SELECT count(*), count(DISTINCT event_id), count(*) FILTER (event_source = 'registrar:backfill'),
            count(*) FILTER (event_source = 'aws:dynamodb') FROM archive WHERE advisor_id LIKE '{OURS}%'"""
            )
            .fetchone()
        )

    def running() -> list[str]:
        listed = states.list_executions(stateMachineArn=stack.outputs["ReconcileArchiveArn"], statusFilter="RUNNING")
        return [execution["executionArn"] for execution in listed["executions"]]

    def backfill(step: str) -> subprocess.Popen[bytes]:
        """Starts or follows a backfill until it works on this step, or has finished it."""
        process = subprocess.Popen(command(stack, GRACE_SECONDS))
        wait_until(lambda: bool(running()), "a backfill runs")
        [execution] = running()
        key = f"reconciliation/{execution.rpartition(':')[2]}/progress.json"
        bucket = stack.outputs["ArchiveBucketName"]

        def is_at_work() -> bool:
            if key not in stack.objects(key, "ArchiveBucketName"):
                return False
            now = json.loads(stack.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
            return not running() or (STEPS.index(now["step"]), now["done"]) > (STEPS.index(step), 0)

        wait_until(is_at_work, f"it is at the step {step}", 900)
        return process

    def finish(what: str) -> None:
        started = time.monotonic()
        assert subprocess.run(command(stack, GRACE_SECONDS), check=False).returncode == 0
        print(f"{what}: {time.monotonic() - started:.0f} s, {rows()[2]} rows", flush=True)

    with short_invocations(stack, INVOCATION_SECONDS):
        with Life(table, items, seed) as life:
            # The command that follows and the function are killed: neither ends the execution.
            following = backfill("find")
            following.kill()
            following.wait()
            print(f"killed reconcile-archive: {kill_function(f'{stack.name}-reconcile-archive')}", flush=True)
            following = backfill("repair")
            stopped = running()
            for execution in stopped:
                states.stop_execution(executionArn=execution)
            kill_function(f"{stack.name}-reconcile-archive")
            # A backfill with few items may have ended before.
            assert following.wait() == len(stopped)
            print(f"stopped in the middle, with {rows()[2]} rows archived", flush=True)
            finish("another backfill, beside the live stream")
        print(f"{life.changes} changes in that time")
        finish("a last backfill, for changes during the others")
    wait_until(lambda: rows()[3] >= life.changes, "the stream has brought all changes")
    total, distinct, backfilled, live = rows()
    print(f"{total} rows, {distinct} of them distinct: {backfilled} by the backfill, {live} by the stream")
    assert total == distinct
    assert (backfilled, live) == (ITEMS, life.changes)
    assert by_key(replayed(stack, f"advisor_id LIKE '{OURS}%'")) == by_key(current(stack, OURS))
