"""Changes that the stream never brought are archived from the table, marked, and once."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from archived import Item, Table, appointments, archive_of, assert_archived_exactly_once
from boto3.dynamodb.types import TypeDeserializer
from reconciliations import short_invocations
from redrives import assert_nothing_left
from stack import NAME, Stack

PROJECT = Path(__file__).parent.parent.parent
GRACE_SECONDS = 10


def command(stack: Stack, grace_seconds: int = GRACE_SECONDS) -> list[str]:
    script = str(PROJECT / "scripts/appointments/backfill.py")
    return [sys.executable, script, stack.name.removeprefix(f"{NAME}-"), "--grace-seconds", str(grace_seconds)]


@contextmanager
def unseen(stack: Stack, advisors: list[str]) -> Iterator[None]:
    """The stream's records of these advisors are dropped, as if there had been no stream when they were written."""
    functions, mapping = stack.client("lambda"), stack.outputs["StreamMappingId"]
    pattern = {"dynamodb": {"Keys": {"advisor_id": {"S": [{"anything-but": advisors}]}}}}
    functions.update_event_source_mapping(UUID=mapping, FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)}]})
    try:
        yield
        # These records come last. When they are archived, all earlier ones have been dropped.
        after = f"after-{time.time_ns()}"
        Table(stack).put(appointments(after, 1))
        assert_archived_exactly_once(stack, after, 1)
    finally:
        functions.update_event_source_mapping(UUID=mapping, FilterCriteria={"Filters": []})


def image(text: str | None) -> Item | None:
    deserialize = TypeDeserializer().deserialize
    return text and {name: deserialize(value) for name, value in json.loads(text).items()}


def replayed(stack: Stack, where: str) -> list[Item]:
    """The items that the archive's changes lead to. Each change has to begin where the one before it ended."""
    rows = (
        archive_of(stack)
        .query(
            f"""SELECT advisor_id, strftime(starts_at AT TIME ZONE 'UTC', '%xT%X'), old_image, new_image FROM archive
        WHERE {where} ORDER BY sequence_number::HUGEINT, event_time"""
        )
        .fetchall()
    )
    state: dict[tuple[str, str], Item | None] = {}
    for advisor, starts_at, old, new in rows:
        assert image(old) == state.get((advisor, starts_at))
        state[advisor, starts_at] = image(new)
    return [item for item in state.values() if item]


def current(stack: Stack, prefix: str) -> list[Item]:
    """The table's items of the advisors whose names have this prefix."""
    deserialize = TypeDeserializer().deserialize
    items = [{name: deserialize(item[name]) for name in item} for item in stack.items("AppointmentsTableName")]
    return [item for item in items if item["advisor_id"].startswith(prefix)]


def by_key(items: list[Item]) -> dict[Any, Item]:
    return {(item["advisor_id"], item["starts_at"]): item for item in items}


@pytest.fixture
def table(stack: Stack) -> Table:
    return Table(stack)


def test_a_table_older_than_its_stream_is_archived_exactly_once_and_marked(
    stack: Stack, table: Table, advisor: str
) -> None:
    items = appointments(advisor, 30)
    changed = [item | {"topic": "changed"} for item in items[:20]]
    with unseen(stack, [advisor]):
        table.put(items)
        table.put(changed[:10])
    table.put(changed[10:])
    table.delete(items[25:])
    assert_archived_exactly_once(stack, advisor, 15)
    assert_nothing_left(stack)

    with short_invocations(stack, GRACE_SECONDS):
        for _ in range(2):
            done = subprocess.run(command(stack), capture_output=True, text=True, check=False, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
            assert_archived_exactly_once(stack, advisor, 15 + 30)
    assert by_key(replayed(stack, f"advisor_id = '{advisor}'")) == by_key([*changed, *items[20:25]])
    sources = (
        archive_of(stack)
        .query(
            f"""SELECT event_source, event_name, count(*) FROM archive WHERE advisor_id = '{advisor}'
        GROUP BY ALL"""
        )
        .fetchall()
    )
    # A project of another name has another source of backfilled rows, and so another order.
    assert set(sources) == {
        ("aws:dynamodb", "MODIFY", 10),
        ("aws:dynamodb", "REMOVE", 5),
        ("registrar:backfill", "INSERT", 30),
    }
