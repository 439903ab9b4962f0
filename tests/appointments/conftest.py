"""Shared fixtures of the tests of appointments."""

import uuid

import pytest


@pytest.fixture
def advisor() -> str:
    """An advisor whom no other test knows."""
    return f"advisor-{uuid.uuid4()}"
