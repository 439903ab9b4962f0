"""Runs the tests of the deployed stack, and all others beside them: tests wait more than they compute.

The arguments are pytest's. The others' output comes at the end.
"""

import shutil
import subprocess
import sys
import tempfile
from typing import IO

import pytest


def start(selection: str, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-m", selection, *sys.argv[1:]]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def main() -> None:
    with tempfile.TemporaryFile() as output:
        others = start("not stack", output)
        codes = {start("stack", None).wait(), others.wait()}
        output.seek(0)
        shutil.copyfileobj(output, sys.stdout.buffer)
    # A room may have tests of one kind only.
    sys.exit(0 if codes in ({0}, {0, pytest.ExitCode.NO_TESTS_COLLECTED}) else 1)


if __name__ == "__main__":
    main()
