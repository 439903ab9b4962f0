"""The directory beside the stack under test."""

import os
from collections.abc import Iterator

import pytest
import tools
from botocore.exceptions import ClientError
from deployed_directory import Directory
from stack import Stack


@pytest.fixture(scope="session")
def directory(stack: Stack) -> Iterator[Directory]:
    """With example data, and two containers in the local cloud."""
    if "STACK" in os.environ:
        try:
            yield Directory(stack)
        except ClientError as error:
            pytest.skip(f"the directory is not beside {stack.name}: {error}")
        return
    servers = pytest.importorskip("local_cloud.servers")
    try:
        servers.check_programs()
    except servers.ServerMissing as missing:
        tools.skip(str(missing))
    import beside

    beside.deploy("directory", stack.name, "local", MinTasks="2")
    directory = Directory(stack)
    assert directory.migrate("Seed") == {"message": "The example data was inserted."}
    yield directory
