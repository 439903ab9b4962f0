"""Shared fixtures of the tests of reminders."""

import uuid
from collections.abc import Iterator

import pytest
import queues
from stack import Stack, Student
from told import Booker


@pytest.fixture
def impatient(stack: Stack, local_cloud: None) -> Iterator[None]:
    """A failed message, or one that came twice at the same time, is received again after seconds, not minutes."""
    with queues.visible_again_after(stack, {"RemindersQueueUrl": 6}):
        yield


@pytest.fixture
def booker(stack: Stack, staff: Student, impatient: None) -> Booker:
    """A student whom no other test knows, and an advisor of theirs."""
    name = uuid.uuid4().hex
    email = f"{name}@students.example"
    return Booker(stack, staff, stack.create_student(email), email, f"advisor-{name}")
