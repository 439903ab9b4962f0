"""The stack under test: one in a local cloud of the tests' own, or the deployed one that `STACK` names."""

import os
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from stack import Stack, Student

SECONDS_TO_WAIT = 60


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if name := os.environ.get("STACK"):
        yield Stack(name)
        return
    import up
    from cloud import server

    port = server.free_port()
    directory = tmp_path_factory.mktemp("cloud")
    server.record(directory, server.start(port, directory).pid, port)
    try:
        os.environ.update(server.client_environment(port))
        up.deploy(port, "registrar-test")
        yield Stack("registrar-test")
    finally:
        server.stop(directory)


@pytest.fixture(scope="session")
def student(stack: Stack) -> Student:
    return stack.create_student("ada@school.example")


@pytest.fixture(scope="session")
def other_student(stack: Stack) -> Student:
    return stack.create_student("grace@school.example")


@pytest.fixture
def advisor() -> str:
    """An advisor whom no other test knows."""
    return f"advisor-{uuid.uuid4()}"


@pytest.fixture
def local_cloud(stack: Stack) -> None:
    """For what can only be done to a cloud on this machine."""
    if os.environ.get("STACK"):
        pytest.skip("only in the local cloud")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {SECONDS_TO_WAIT} s: {what}"
        time.sleep(0.2)
