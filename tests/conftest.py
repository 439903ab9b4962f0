"""The stack under test: in a local cloud that the tests start, or the deployed one that `STACK` names.

The fixtures of a room are in its own folder.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from otlp import Collector
from stack import Stack, Student


# Before pytest selects by marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Marks the tests of the deployed stack, and moves those that check all others' effects to the end."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
    for item in items:
        if "stack" in item.fixturenames:
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Collects the spans of the local cloud and of its functions."""
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    if name := os.environ.get("STACK"):
        yield Stack(name)
        return
    try:
        import up
    except ModuleNotFoundError:
        pytest.fail("without local/, name a deployed stack: STACK=registrar-dev python -m pytest tests")

    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
    # As in prod, where logs must hold no personal data.
    with up.deployed(tmp_path_factory.mktemp("cloud"), "registrar-test", "prod"):
        yield Stack("registrar-test")


@pytest.fixture(scope="session")
def student(stack: Stack) -> Student:
    return stack.create_student("ida@school.example")


@pytest.fixture(scope="session")
def other_student(stack: Stack) -> Student:
    return stack.create_student("grace@school.example")


# A token is valid for an hour: not long enough for a session.
@pytest.fixture(scope="module")
def staff(stack: Stack) -> Student:
    return stack.create_staff("dean@school.example")


@pytest.fixture
def local_cloud(stack: Stack) -> None:
    """Skips a test that only a cloud on this machine can pass."""
    if os.environ.get("STACK"):
        pytest.skip("only in the local cloud")


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An account without any deployment, for tests/deployments.py."""
    import deployments

    with deployments.new_account(tmp_path_factory.mktemp("account")) as account:
        yield account
