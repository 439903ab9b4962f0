"""Shared fixtures of the tests of accounts."""

from collections.abc import Callable, Iterator
from typing import Any

import account_requests
import announcements
import pytest
import queues
from stack import Stack


@pytest.fixture(scope="session")
def many_requests(stack: Stack) -> None:
    account_requests.allow_many_requests(stack)


@pytest.fixture
def impatient(stack: Stack, local_cloud: None) -> Iterator[None]:
    """A queued request that failed is retried after seconds, not minutes, but not while it is processed."""
    with queues.visible_again_after(stack, {"AccountRequestsQueueUrl": 20}):
        yield


@pytest.fixture(scope="session")
def announced(stack: Stack) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """The details of the events of a type that the room has published on the school's bus."""
    with announcements.recorded(stack) as announced:
        yield announced
