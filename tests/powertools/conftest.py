"""The local cloud for the tests of powertools: nothing is deployed in it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from local_cloud import server


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a local cloud that the tests start."""
    with server.running(tmp_path_factory.mktemp("powertools-cloud")) as port:
        yield f"http://{server.HOST}:{port}"


@pytest.fixture(scope="session")
def client(cloud: str) -> Callable[[str], Any]:
    """Makes clients of the cloud's services."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return partial(boto3.client, endpoint_url=cloud, region_name="us-east-1", **keys)
