"""An import ends with an answer, whatever the file is called, and whatever starts it."""

import uuid

from hostile import NO_OBJECT, assert_workflow_refuses
from registrar import HEADER, Imports
from stack import Stack, wait_until


def test_an_import_refuses_what_is_no_event_of_a_file(stack: Stack) -> None:
    inputs = [
        *NO_OBJECT,
        {"detail": None},
        {"detail": {"object": []}},
        {"detail": {"object": {"key": "imports/a.csv", "etag": 1, "sequencer": "1"}}},
        [{"detail": {"object": {"key": "imports/a.csv", "etag": "e"}}}],
        {"detail": {"object": {"key": ["imports/a.csv", "imports/b.csv"], "etag": "e", "sequencer": "1"}}},
    ]
    assert_workflow_refuses(stack, "ImportAccounts", inputs, "NotAnEvent")


def test_a_file_of_any_name_has_its_results(stack: Stack) -> None:
    """File names of registrars, and of an attacker who may put files."""
    imports = Imports(stack)
    names = [
        "Étudiants 2026 (neu).csv",
        "a b+c%20d&e=f;g.CSV",
        "{% $states.context %}.csv",
        "' & $uuid() & '.csv",
        'quo"te\\back\\slash.csv',
        "../../work/claim.csv",
        "$1$&.csv",
        "\U0001f600.csv",
        "results.csv.csv",
        "no extension",
    ]
    puts = [imports.put(HEADER, f"{uuid.uuid4()}/{name}") for name in names]
    wait_until(lambda: all(map(imports.results_keys, puts)), "each file has its results")
