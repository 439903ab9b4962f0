"""The table of each room's permissions agrees with its template."""

import permissions
import pytest
from permissions import GRANTING
from rooms import PROJECT, Room


@pytest.mark.parametrize("room", GRANTING, ids=str)
def test_each_permission_has_a_test_that_needs_it_or_a_reason(room: Room) -> None:
    listed = permissions.listed(room)
    assert set(listed) == {permission.row() for permission in permissions.permissions(room)}, "make permissions NEW=1"
    reasons = {f"[{reason.name}]" for reason in permissions.REASONS}
    for permission, needed_by in listed.items():
        module, _, name = needed_by.removeprefix(permissions.UNCLEAR).partition(".")
        test = PROJECT / "tests" / f"{module}.py"
        is_test = test.exists() and f"def {name.partition('[')[0]}(" in test.read_text()
        assert needed_by in reasons or is_test, f"{permission}: {needed_by}; make permissions NEW=1"
