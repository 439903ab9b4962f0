"""Shared fixtures of the tests of appointments."""

import random
import uuid

import pytest
from booking import offer
from stack import Student


@pytest.fixture
def advisor() -> str:
    """An advisor whom no other test knows."""
    return f"advisor-{uuid.uuid4()}"


@pytest.fixture
def slot(staff: Student, advisor: str) -> tuple[str, str]:
    """An offered slot: its advisor and start. The month is random, because a student may book only a few in one."""
    starts_at = f"20{random.randint(30, 99)}-{random.randint(1, 12):02}-06T{random.randint(0, 23):02}:00:00Z"
    answer = offer(staff, advisor, starts_at)
    assert answer.status_code == 201, answer.text
    return advisor, starts_at
