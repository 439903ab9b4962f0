"""A local cloud for the tests that need one."""

from collections.abc import Iterator

import pytest
from cloud import server
from running_cloud import Cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    port, directory = server.free_port(), tmp_path_factory.mktemp("cloud")
    process = server.start(port, directory)
    try:
        yield Cloud(port, directory / "log")
    finally:
        process.terminate()
        process.wait(timeout=30)
