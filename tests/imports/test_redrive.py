"""A file is imported after its import could not be started."""

import queues
from faults import rule_disabled
from redrives import assert_nothing_left
from registrar import Imports, address, row, table
from stack import Stack


def test_a_file_whose_import_could_not_be_started_is_imported(stack: Stack, local_cloud: None) -> None:
    imports = Imports(stack)
    with rule_disabled(stack, "imports", "ImportsRule"):
        put = imports.put(table(row(address())))
    key, version = put.split(" ")
    event = {"time": "2026-11-20T10:30:00Z", "detail": {"object": {"key": key, "version-id": version}}}
    queues.send(stack, "FailedImportsQueueUrl", event, "NO_PERMISSIONS")
    assert_nothing_left(stack)
    assert [one["result"] for one in imports.results(put)] == ["created"]
