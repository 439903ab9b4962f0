"""Template, example events, canary and API belong to the table in the constant `TABLE`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
STACK = PROJECT / "stacks/appointments"
TEMPLATE = (STACK / "template.yaml").read_text()
EVENTS = PROJECT / "events/appointments"

CONSTANT = (PROJECT / "crates/appointments/src/lib.rs").read_text()
[NAME] = re.findall(r'\bname: "([^"]+)"', CONSTANT)
KEY = re.findall(r'\b(?:hash|range)_key: (?:Some\()?"([^"]+)"', CONSTANT)
COLUMNS = re.findall(r'Column::(\w+)\("([^"]+)"[^)]*\)(.*)', CONSTANT)
REQUIRED = {name: kind for kind, name, rest in COLUMNS if "optional" not in rest}
TYPES = {"text": "S", "time": "S", "integer": "N", "decimal": "N", "boolean": "BOOL"}


def test_the_table_has_the_key_of_the_constant() -> None:
    table = TEMPLATE.partition("\n  AppointmentsTable:\n")[2]
    schema = re.search(r"^ +KeySchema:\n((?: +- .*\n)+)", table, re.MULTILINE)
    assert schema
    assert re.findall(r"AttributeName: (\w+)", schema[1]) == KEY


def test_the_archive_is_where_the_functions_may_be_and_the_rule_looks() -> None:
    folders = set(re.findall(r"\$\{ArchiveBucket\.Arn\}/(?:quarantine/)?([^/*]+)/\*", TEMPLATE)) - {"reconciliation"}
    assert folders == {NAME}
    assert re.findall(r"prefix: (\S+)/ }", TEMPLATE) == [NAME]


def test_the_example_of_the_stream_has_items_of_the_table() -> None:
    records = json.loads((EVENTS / "archive-appointments.json").read_text())["Records"]
    for change in (record["dynamodb"] for record in records):
        assert list(change["Keys"]) == KEY
        image = change.get("NewImage", change.get("OldImage"))
        for name, kind in REQUIRED.items():
            assert list(image[name]) == [TYPES[kind]]


def test_the_example_of_an_object_is_of_the_archive() -> None:
    event = json.loads((EVENTS / "audit-archive.json").read_text())
    assert event["detail"]["object"]["key"].startswith(f"{NAME}/dt=")


def calls(states: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments of tasks, also of those in loops and in transactions."""
    for state in states.values():
        arguments = state.get("Arguments")
        if isinstance(arguments, dict):
            yield arguments
            yield from (call for item in arguments.get("TransactItems", []) for call in item.values())
        yield from calls(state.get("ItemProcessor", {}).get("States", {}))


def test_the_canary_writes_items_of_the_table() -> None:
    canary = yaml.safe_load((PROJECT / "statemachines/appointments/check-freshness.asl.yaml").read_text())
    writes = [call for call in calls(canary["States"]) if call.get("TableName") == "${AppointmentsTable}"]
    puts, keys = ([call[name] for call in writes if name in call] for name in ("Item", "Key"))
    assert len(puts) == 1
    assert puts[0].keys() >= {*KEY, *REQUIRED}
    assert [list(key) for key in keys] == [KEY]


def test_the_api_writes_items_of_the_table() -> None:
    templates = (STACK / "openapi.yaml").read_text()
    table = r'"TableName": "\$\{AppointmentsTable\}",\s*"Key": \{(.*?\})\s*\}'
    keys = re.findall(table, templates, re.DOTALL)
    if not keys:
        pytest.skip("the API writes no items")
    for key in keys:
        assert re.findall(r'"(\w+)": \{"S"', key) == KEY
