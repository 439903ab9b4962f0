"""The archive of the entitlements, read by another engine."""

import uuid
from pathlib import Path

import duckdb
from deployed_content import Content
from stack import Stack, wait_until

BUCKET = "EntitlementsArchiveBucketName"


def rows(content: Content, place: Path, student: str) -> list[tuple[str, int]]:
    """The changes of a student's entitlement, in order."""
    s3 = content.stack.client("s3")
    for key in content.stack.objects("entitlements/", BUCKET):
        path = place / key
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(content.stack.outputs[BUCKET], key, str(path))
    if not any(place.rglob("*.parquet")):
        return []
    return duckdb.execute(
        f"""SELECT event_name, paid_until FROM read_parquet('{place}/**/*.parquet', hive_partitioning = true)
        WHERE student_id = ? ORDER BY sequence_number""",
        [student],
    ).fetchall()


def test_each_change_of_an_entitlement_is_archived(content: Content, tmp_path: Path) -> None:
    student = f"student-{uuid.uuid4()}"
    content.pay(student)
    paid = content.paid_until(student)
    content.lapse(student)
    wait_until(lambda: len(rows(content, tmp_path, student)) == 2, "both changes are archived")
    assert rows(content, tmp_path, student) == [("INSERT", paid), ("MODIFY", content.paid_until(student))]
    assert content.stack.objects("quarantine/", BUCKET) == {}


def test_what_changed_while_the_stream_was_not_read_is_archived_when_it_is(
    content: Content, stack: Stack, local_cloud: None, tmp_path: Path
) -> None:
    functions, name = stack.client("lambda"), f"{stack.name}-archive-entitlements"
    [mapping] = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]

    def switch(enabled: bool) -> None:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)
        state = "Enabled" if enabled else "Disabled"
        wait_until(lambda: functions.get_event_source_mapping(UUID=mapping["UUID"])["State"] == state, f"it is {state}")

    student = f"student-{uuid.uuid4()}"
    switch(False)
    try:
        content.pay(student)
        assert rows(content, tmp_path, student) == []
    finally:
        switch(True)
    wait_until(lambda: len(rows(content, tmp_path, student)) == 1, "the change is archived")
