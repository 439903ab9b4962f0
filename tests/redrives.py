"""`make redrive`, as an operator runs it."""

import os
import subprocess
import sys

from rooms import PROJECT
from stack import NAME, Stack


def command(stack: Stack, *options: str) -> list[str]:
    return [sys.executable, str(PROJECT / "scripts/redrive.py"), stack.name.removeprefix(f"{NAME}-"), *options]


def redrive(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    wide = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command(stack, *options), env=wide, capture_output=True, text=True, check=False, timeout=120)


def assert_nothing_left(stack: Stack, *options: str) -> None:
    """Sends all failures again; all succeed."""
    done = redrive(stack, "--apply", *options)
    assert done.returncode == 0, done.stdout + done.stderr
