"""docs/appointments/your-table.md archives another table: a copy of the project follows its steps exactly."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from appointments.archive import Archive
from cfnlint.decode import cfn_yaml
from fork import Project
from stack import Stack, wait_until

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "docs/appointments/your-table.md").read_text()

BLOCK = r"```\w*\n(.*?)```"
EDIT = re.compile(
    rf"In `(?P<edited>[^`]+)`, replace(?P<all> everywhere)?\n\n{BLOCK}\n\nwith\n\n{BLOCK}"
    rf"|Write `(?P<written>[^`]+)`:\n\n{BLOCK}",
    re.DOTALL,
)
STEPS = {
    section.partition("\n")[0]: list(EDIT.finditer(section))
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]
    if re.match(r"\d+\. ", section)
}
# The longest duration of an invocation: the reconciliation waits at least this long between `find` and `confirm`.
GRACE_SECONDS = 10


def apply(edit: re.Match[str], copy: Path) -> None:
    if edit["written"]:
        (copy / edit["written"]).write_text(edit[6])
        return
    path, old, new = copy / edit["edited"], edit[3], edit[4]
    text = path.read_text()
    # A part of a line.
    if old not in text:
        old, new = old.removesuffix("\n"), new.removesuffix("\n")
    count = text.count(old)
    assert count > 1 if edit["all"] else count == 1, f"{count} times in {path}: {old}"
    path.write_text(text.replace(old, new))


def follow_guide(copy: Path, without: str | None = None) -> None:
    """Copies the project, and follows the guide, perhaps without one of its steps."""
    Project(PROJECT).copied_to(copy)
    for step, edits in STEPS.items():
        if step != without:
            for edit in edits:
                apply(edit, copy)


def checks(copy: Path) -> subprocess.CompletedProcess[str]:
    """The command that the guide names for checking what is still missing."""
    options = ["-q", "-p", "no:cacheprovider", "--noconftest"]
    command = [sys.executable, "-m", "pytest", *options, "tests/appointments/test_table.py"]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)


def test_the_guide_has_steps_that_each_change_something() -> None:
    assert len(STEPS) == 6
    assert all(STEPS.values())


def test_after_all_steps_nothing_is_missing(tmp_path: Path) -> None:
    follow_guide(tmp_path)
    checked = checks(tmp_path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_left_out_is_noticed(step: str, tmp_path: Path) -> None:
    follow_guide(tmp_path, without=step)
    checked = checks(tmp_path)
    assert checked.returncode == 1, checked.stdout


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The copy, built and deployed to another local cloud: the platform and this room."""
    if os.environ.get("STACK"):
        pytest.skip("only in a local cloud")
    import up
    from local_cloud import server

    copy = tmp_path_factory.mktemp("orders")
    follow_guide(copy)
    root = cfn_yaml.load(str(copy / "template.yaml"))
    rooms = {name: root["Resources"][name] for name in ("Platform", "Appointments")}
    root = {name: root[name] for name in ("AWSTemplateFormatVersion", "Transform", "Parameters")} | {"Resources": rooms}
    (copy / "template.yaml").write_text(json.dumps(root))

    def sam(*arguments: str, **environment: str) -> None:
        subprocess.run([up.SAM, *arguments], cwd=copy, env=os.environ | environment, check=True)

    architecture = f"Architecture={up.architecture()}"
    # Compiled dependencies are shared.
    Project(copy).renumber()
    target = os.environ.get("CARGO_TARGET_DIR", str(PROJECT / "target"))
    sam("build", "--parameter-overrides", architecture, SAM_BUILD_MODE="debug", CARGO_TARGET_DIR=target)
    with server.running(tmp_path_factory.mktemp("cloud")) as port, pytest.MonkeyPatch.context() as patch:
        # Not the cloud of the other tests.
        for name, value in server.client_environment(port).items():
            patch.setenv(name, value)
        name, overrides = "registrar-orders", ["Stage=dev", "BatchingWindow=1", f"LocalPort={port}", architecture]
        sam("deploy", "--config-env", "local", "--stack-name", name, "--parameter-overrides", *overrides)
        yield Stack(name)


@pytest.mark.compiles
def test_an_order_is_archived_and_what_is_lost_is_reconciled(orders: Stack) -> None:
    stack, archive, customer = orders, Archive(orders), str(uuid.uuid4())
    dynamodb, table = stack.client("dynamodb"), stack.outputs["AppointmentsTableName"]
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]

    def key(hour: int) -> dict[str, Any]:
        return {"customer_id": {"S": customer}, "ordered_at": {"S": f"2026-11-20T{hour:02}:30:00Z"}}

    def changes() -> list[tuple[Any, ...]]:
        return archive.query(
            f"""SELECT event_name, hour(ordered_at::TIMESTAMPTZ AT TIME ZONE 'UTC'), price, pieces, is_gift, note
            FROM archive WHERE customer_id = '{customer}' ORDER BY ordered_at, sequence_number::HUGEINT"""
        ).fetchall()

    def put(hour: int, **attributes: Any) -> None:
        dynamodb.put_item(TableName=table, Item=key(hour) | attributes)

    put(10, price={"N": "12.5"}, pieces={"N": "3"}, is_gift={"BOOL": True})
    put(11, price={"N": "0.01"}, pieces={"N": "-1"}, note={"S": "é😀"})
    dynamodb.update_item(
        TableName=table,
        Key=key(10),
        UpdateExpression="SET pieces = :pieces",
        ExpressionAttributeValues={":pieces": {"N": "4"}},
    )
    dynamodb.delete_item(TableName=table, Key=key(11))
    # A number that is too large for an integer column, and one with more decimal places than its column.
    put(12, price={"N": "1"}, pieces={"N": "9223372036854775808"})
    put(13, price={"N": "0.001"}, pieces={"N": "1"})
    archived = [
        ("INSERT", 10, Decimal("12.50"), 3, True, None),
        ("MODIFY", 10, Decimal("12.50"), 4, True, None),
        ("INSERT", 11, Decimal("0.01"), -1, None, "é😀"),
        ("REMOVE", 11, Decimal("0.01"), -1, None, "é😀"),
    ]
    wait_until(lambda: len(changes()) >= 4, "the orders are archived")
    assert changes() == archived

    def reasons() -> list[str]:
        keys = stack.objects("quarantine/orders/", "ArchiveBucketName")
        bodies = [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]
        return sorted(record["reason"] for body in bodies for record in body)

    wait_until(lambda: len(reasons()) >= 2, "what does not fit is in quarantine")
    assert [reason.partition(" is not ")[0] for reason in reasons()] == [
        "not a valid order, because pieces",
        "not a valid order, because price",
    ]

    def ledger() -> set[str]:
        items = dynamodb.scan(TableName=stack.outputs["LedgerTableName"], ConsistentRead=True)["Items"]
        return {item["object_key"]["S"] for item in items}

    wait_until(lambda: ledger() == stack.objects("orders/", "ArchiveBucketName").keys(), "the ledger is complete")
    # With all their versions, so that no object can be restored.
    versions = s3.list_object_versions(Bucket=bucket, Prefix="orders/")["Versions"]
    for version in versions:
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    assert changes() == []

    stack.client("lambda").update_function_configuration(
        FunctionName=stack.outputs["ReconcileArchiveFunctionName"], Timeout=GRACE_SECONDS
    )
    states = stack.client("stepfunctions")
    run = states.start_execution(
        stateMachineArn=stack.outputs["ReconcileArchiveArn"], input=json.dumps({"grace_seconds": GRACE_SECONDS})
    )["executionArn"]
    wait_until(lambda: states.describe_execution(executionArn=run)["status"] != "RUNNING", "the run has ended")
    assert states.describe_execution(executionArn=run)["status"] == "SUCCEEDED"
    # If an item was changed or deleted meanwhile, the table shows only the end.
    assert changes() == [("INSERT", 10, Decimal("12.50"), 4, True, None)]
