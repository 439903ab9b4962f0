"""The directory's cache with a real Valkey: crates/directory/tests/valkey.rs."""

import os
import subprocess
from pathlib import Path

import pytest
import tools

servers = pytest.importorskip("local_cloud.servers")

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def valkey() -> str:
    try:
        return servers.valkey_program()
    except servers.ServerMissing as missing:
        tools.skip(str(missing))


def test_the_cache_keeps_its_promises_with_a_real_valkey(valkey: str) -> None:
    # With the features of the whole workspace, so that what `make test` compiled is used.
    command = ["cargo", "test", "--workspace", "--all-features", "--locked", "--quiet", "--test", "valkey"]
    environment = os.environ | {"VALKEY_SERVER": valkey}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
