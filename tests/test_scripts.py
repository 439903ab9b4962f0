"""A mistyped argument gets one line that says what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rooms import PROJECT

# The scripts that take an environment.
SCRIPTS = [
    path
    for path in [*PROJECT.glob("scripts/*.py"), *PROJECT.glob("scripts/*/*.py")]
    if re.search(r"from stack import .*\bof_environment\b", path.read_text())
]
# Nothing listens at this port.
NO_CLOUD = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
}


@pytest.mark.parametrize("credentials", [{}, {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(PROJECT / "scripts")))
def test_without_a_stack_a_script_says_which_environments_there_are(script: Path, credentials: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= NO_CLOUD | {"PYTHONPATH": str(PROJECT / "scripts")} | credentials
    command = [sys.executable, script, "dev"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "ENV=local is the local cloud" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_command_finds_the_rooms_parts_of_it() -> None:
    # As make starts it: not with the rooms' folders, which these tests import from.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(PROJECT / name) for name in ("local", "scripts"))}
    for name in ("after_deploy", "before_deploy", "redrive"):
        code = f"import pathlib, room_modules; room_modules.load(pathlib.Path('scripts'), '{name}')"
        command = [sys.executable, "-c", code]
        result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_an_unknown_function_is_answered_with_those_that_there_are() -> None:
    functions = sorted(path.stem for path in PROJECT.glob("events/*/*.json"))
    result = subprocess.run(["make", "invoke", "F=no"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"F is one of: {' '.join(functions)}" in result.stderr


def test_only_what_is_about_the_local_cloud_imports_it() -> None:
    importing = {
        folder: {file.name for file in (PROJECT / folder).rglob("*.py") if "local_cloud" in file.read_text()}
        for folder in ("benches", "lint", "load", "scripts")
    }
    # A room's comparison with its peers needs the same databases and caches.
    importing["benches"].discard("compare.py")
    scripts = {"down.py", "environment.py", "up.py", "watch.py"}
    assert importing == {"benches": set(), "lint": set(), "load": set(), "scripts": scripts}
