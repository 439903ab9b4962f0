"""Programs that a few tests need, and that a machine may not have."""

import os
from typing import NoReturn

import pytest


def missing(what: str, packages: str) -> NoReturn:
    """Skips the test, and says how to install the program; in CI, which installs everything, the test fails."""
    reason = f"no {what} is installed: on Debian, apt-get install {packages}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
