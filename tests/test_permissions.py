"""The table of what needs each permission is that of this template."""

from pathlib import Path

import permissions


def test_each_permission_has_a_test_that_needs_it_or_a_reason() -> None:
    listed = permissions.listed()
    assert set(listed) == {permission.row() for permission in permissions.permissions()}, "make permissions NEW=1"
    reasons = {f"[{reason.name}]" for reason in permissions.REASONS}
    for permission, needed_by in listed.items():
        module, _, name = needed_by.removeprefix(permissions.UNCLEAR).partition(".")
        test = Path(__file__).parent / f"{module}.py"
        is_test = test.exists() and f"def {name.partition('[')[0]}(" in test.read_text()
        assert needed_by in reasons or is_test, f"{permission}: {needed_by}; make permissions NEW=1"
