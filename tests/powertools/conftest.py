"""The local cloud for the tests of powertools: bare, with nothing deployed."""

from collections.abc import Iterator

import pytest
from cloud import server


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a cloud of the tests' own."""
    port = server.free_port()
    directory = tmp_path_factory.mktemp("powertools-cloud")
    server.record(directory, server.start(port, directory).pid, port)
    yield f"http://{server.HOST}:{port}"
    server.stop(directory)
