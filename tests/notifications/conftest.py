"""Shared fixtures of the tests of notifications."""

from collections.abc import Iterator

import account_requests
import pytest
import queues
from stack import Stack


@pytest.fixture(scope="session")
def many_requests(stack: Stack) -> None:
    account_requests.allow_many_requests(stack)


@pytest.fixture
def impatient(stack: Stack, local_cloud: None) -> Iterator[None]:
    """A failed message is received again after seconds, not minutes, but not while it is processed."""
    with queues.visible_again_after(stack, {"AccountRequestsQueueUrl": 20, "NotificationsQueueUrl": 6}):
        yield
