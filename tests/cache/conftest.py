"""The list of taken times beside the stack under test, with a cluster."""

import os
import uuid

import pytest
import tools
from botocore.exceptions import ClientError
from deployed_cache import Cache
from stack import Stack, Student

# Long enough to see an old list on a slow machine, and short enough to wait for the new one.
QUERY_TTL_MILLISECONDS = 3000


@pytest.fixture(scope="session")
def cache(stack: Stack) -> Cache:
    if "STACK" in os.environ:
        try:
            return Cache(stack)
        except (ClientError, KeyError) as error:
            pytest.skip(f"no cache with a cluster is beside {stack.name}: {error}")
    clusters = pytest.importorskip("local_cloud.dax_clusters")
    servers = pytest.importorskip("local_cloud.servers")
    try:
        clusters.dax_local_program()
    except servers.ServerMissing as missing:
        tools.skip(str(missing))
    import beside

    beside.deploy("cache", stack.name, "local", QueryTtlMilliseconds=str(QUERY_TTL_MILLISECONDS))
    return Cache(stack)


@pytest.fixture
def advisor() -> str:
    """An advisor whom no other test knows."""
    return f"advisor-{uuid.uuid4()}"


@pytest.fixture
def newcomer(stack: Stack) -> Student:
    """A student whom no other test knows, with no other appointment at any time."""
    return stack.create_student(f"{uuid.uuid4().hex}@students.example")
