"""Which tests run side by side: `make test` starts two processes, each with local clouds of its own."""

import pytest


# Before xdist, which reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of the deployed stack together, because each process would deploy it; and those of a file.

    Moves the tests that check all others' effects to the end.
    """
    for item in items:
        deployed = "stack" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("deployed" if deployed else item.path.name))
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
