"""Programs that a few tests need, and that a machine may not have."""

import os
from typing import NoReturn

import pytest


def missing(what: str, packages: str) -> NoReturn:
    """Skips the test, and says how to install the program."""
    skip(f"no {what} is installed: on Debian, apt-get install {packages}")


def skip(reason: str) -> NoReturn:
    """Skips the test; in CI, which installs everything, the test fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
