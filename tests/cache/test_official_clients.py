"""The Rust client and DAX Local agree with the official clients, also on the DynamoDB of the local cloud."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tools import missing

PROJECT = Path(__file__).parent.parent.parent
CLIENTS = PROJECT / ".venv" / "dax"
PACKAGES = {"dax-front", "dynamodb-dax"}
# They need a cluster of AWS.
LIVE = {"live"}

pytestmark = pytest.mark.usefixtures("local_cloud")


def programs() -> list[tuple[str, str]]:
    """Package and file of each compiled test."""
    # As `make test` compiles them: another selection of packages would have other features, and compile the SDKs again.
    command = ["cargo", "test", "--workspace", "--all-features", "--locked", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return [
        (Path(message["manifest_path"]).parent.name, message["executable"])
        for message in messages
        if message["reason"] == "compiler-artifact"
        and message["executable"]
        and message["target"]["kind"] == ["test"]
        and message["target"]["name"] not in LIVE
        and Path(message["manifest_path"]).parent.name in PACKAGES
    ]


def test_the_official_clients_agree() -> None:
    if not shutil.which("npm"):
        missing("npm", "npm")
    assert (CLIENTS / "ready").exists(), "The official clients are missing: make .venv/dax/ready"
    found = programs()
    assert {package for package, _ in found} == PACKAGES
    for package, program in found:
        done = subprocess.run(
            [program, "--ignored", "--test-threads=2"],
            cwd=PROJECT / "crates" / package,
            env=os.environ | {"DAX_CLIENTS": str(CLIENTS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
