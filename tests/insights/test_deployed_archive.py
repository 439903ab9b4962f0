"""The jobs on an archive that the functions have written."""

import gzip
import json
from pathlib import Path
from typing import Any

import engines
from archived import Table, appointments, assert_archived_exactly_once, bodies
from stack import Stack, wait_until

LONG_AFTER = "2099-01-01"


def download(stack: Stack, root: Path) -> None:
    """The archive, and the ledger as DynamoDB exports it."""
    for key, body in bodies(stack, "appointments/").items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (root / "ledger").mkdir(exist_ok=True)
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["LedgerTableName"])
    with gzip.open(root / "ledger/items.json.gz", "wt") as file:
        file.writelines(json.dumps({"Item": item}) + "\n" for page in pages for item in page["Items"])


def test_the_check_finds_no_difference_and_the_report_counts_every_change(
    engine: engines.Engine, stack: Stack, tmp_path: Path
) -> None:
    table, advisor = Table(stack), f"insights-{engine.name}"
    booked = appointments(advisor, 60)
    table.put(booked)
    table.put([item | {"topic": 'Another "topic"'} for item in booked[:10]])
    table.delete(booked[:20])
    assert_archived_exactly_once(stack, advisor, 90)
    answers: list[dict[str, Any]] = []

    def agrees() -> bool:
        # The canary and other tests go on meanwhile.
        root = tmp_path / str(len(answers))
        download(stack, root)
        given = {"archive": root / "appointments", "before": LONG_AFTER}
        answers.append(engine.run("check", root / "check", **given, ledger=root / "ledger"))
        answers.append(engine.run("report", root / "report", **given, zone="UTC"))
        return answers[-2]["differences"] == []

    wait_until(agrees, "the archive and the ledger agree")
    [*_, check, report] = answers
    assert check["rows"] == report["rows"] >= 90
    assert [problem for problem in check["problems"] if problem["kind"] != "empty day"] == []
    [counts] = [cell for cell in report["advisors"]["cells"] if cell["advisor"] == advisor]
    assert (counts["bookings"], counts["cancellations"]) == (60, 20)
