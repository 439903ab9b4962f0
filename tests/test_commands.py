"""Each command works in its smallest form; a mistyped choice is answered with the choices."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Timer

import pytest

PROJECT = Path(__file__).parent.parent
ROOM_MAKEFILES = sorted(PROJECT.glob("scripts/*/room.mk"))
EVENTS = sorted(PROJECT.glob("events/*/*.json"))
# A function that compiles quickly: one without AWS clients, if there is one.
LIGHT = min(
    (event.stem for event in EVENTS),
    key=lambda function: "aws-" in next(PROJECT.glob(f"handlers/*/{function}/Cargo.toml")).read_text(),
)
# A user's shell has neither the settings of the tests' cloud, nor those of the `make test` that runs the tests.
SHELL = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AWS_", "MAKE", "MFLAGS", "OTEL_")) and name not in ("ENV", "F", "ROOM", "STRATEGY")
}

# Commands that are not run here, and the place where CI runs them.
ELSEWHERE = {
    "audit": "not in CI: it needs the RustSec database; see `make -n` below",
    "backfill": "the tests of its room",
    "bench": "tests/test_bench.py, with one round",
    "bench-build": "tests/test_bench.py, with what is compiled already",
    "bench-quick": "tests/test_bench.py, with the debug binaries and events of one record",
    "build": "`make test`, without optimisation",
    "cost": "tests/test_cost.py",
    "deploy": "on AWS only; see `make -n` below, and tests/test_samconfig.py",
    "deploy-edge": "the tests of its room",
    "drill": "the tests of its room, with fewer items",
    "drop": "tests/test_fork.py",
    "forget": "the tests of its room",
    "fuzz": "`cargo test`, with the seeds",
    "hostile": "tests/test_hostile_input.py, with fewer examples",
    "insights": "the tests of its room",
    "lint": ".ci/run",
    "materials": "the tests of its room",
    "new": "tests/test_fork.py",
    "offer": "the tests of its room",
    "pay": "the tests of its room",
    "permissions": "the tests of a room, with one permission",
    "picture": "the tests of its room",
    "plant": "tests/test_plant.py",
    "power-tune": "on AWS only; see `make -n` below, and tests/test_power_tuning.py",
    "power-tune-local": "tests/test_bench.py, with one round",
    "promise": "the tests of its room, with fewer reads",
    "rooms": ".ci/run",
    "rotate-key": "the tests of its room",
    "simulate": "`cargo test`, with fewer schedules",
    "test": ".ci/run",
}
# The output of commands without choices, beside a local cloud. Without its room, a project does not have a command.
PRINTED = {
    "environment": "export AWS_ENDPOINT_URL=http://127.0.0.1:",
    f"invoke F={EVENTS[0].stem}": "{",
    "publish ENV=local": "http://",
    "redrive ENV=local": "Nothing to send.",
    "runs": "SUCCEEDED",
}
HERE = {"down", "help", "load", "logs", "up", "watch", *(command.split()[0] for command in PRINTED)}


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=SHELL | environment, capture_output=True, text=True, check=False, timeout=300
    )


def targets() -> list[str]:
    """The commands that `make help` lists."""
    return [line.split()[1] for line in make("help").stdout.splitlines()]


def choices(variable: str, *arguments: str) -> list[str]:
    """The accepted values of a variable, from the answer to a wrong one."""
    result = make("-n", *arguments, f"{variable}=wrong")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    said = re.search(rf"\*\*\* {variable} is one of: (.*)\.  Stop\.", line)
    assert said, line
    return said[1].split()


def test_help_lists_all_commands() -> None:
    rules = {
        name
        for file in [PROJECT / "Makefile", *ROOM_MAKEFILES]
        for name in re.findall(r"^([a-z][a-z-]*):(?!=)", file.read_text(), re.MULTILINE)
    }
    assert sorted(targets()) == sorted(rules)


def test_each_command_is_run_in_ci_or_it_is_known_why_not() -> None:
    assert set(targets()) <= HERE | ELSEWHERE.keys()


@pytest.mark.parametrize(
    ("variable", "arguments"),
    [
        ("F", ["invoke"]),
        ("F", ["watch"]),
        ("F", ["power-tune"]),
        ("F", ["power-tune-local"]),
        ("STRATEGY", ["power-tune", f"F={EVENTS[0].stem}"]),
        ("STRATEGY", ["power-tune-local", f"F={EVENTS[0].stem}"]),
        ("ENV", ["deploy"]),
        ("ENV", ["logs"]),
        ("ENV", ["redrive"]),
        ("ROOM", ["deploy"]),
        ("ROOM", ["test"]),
        ("ROOM", ["up"]),
    ],
)
def test_a_wrong_choice_is_answered_with_the_choices_and_each_of_them_is_taken(
    variable: str, arguments: list[str]
) -> None:
    offered = choices(variable, *arguments)
    assert offered
    for choice in offered:
        result = make("-n", *arguments, f"{variable}={choice}")
        assert result.returncode == 0, result.stderr


def test_each_event_can_be_sent_to_its_function() -> None:
    assert choices("F", "invoke") == sorted(event.stem for event in EVENTS)
    for event in EVENTS:
        assert str(event.relative_to(PROJECT)) in make("-n", "invoke", f"F={event.stem}").stdout


@pytest.mark.parametrize("target", ["audit", "build", "lint"])
def test_what_is_not_run_here_is_understood(target: str) -> None:
    result = make("-n", target)
    assert result.returncode == 0, result.stderr


# ---- Beside a local cloud that `make up` has started


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Tells the commands which local cloud to use: one that was started and deployed to as by `make up`."""
    if "STACK" in os.environ:
        pytest.skip("only with a local cloud")
    cloud = {"LOCAL_CLOUD": str(tmp_path_factory.mktemp("local"))}
    paths = os.pathsep.join(str(PROJECT / directory) for directory in ("local", "scripts"))
    try:
        # Without the build, which exists already.
        started = subprocess.run(
            [sys.executable, "scripts/up.py"],
            cwd=PROJECT,
            env=SHELL | cloud | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert started.returncode == 0, started.stdout + started.stderr
        # The last line names commands.
        assert set(re.findall(r"make ([a-z-]+)", started.stdout.splitlines()[-1])) <= set(targets())
        yield cloud
    finally:
        stopped = make("down", **cloud)
    assert "The local cloud is stopped." in stopped.stdout, stopped.stderr


@pytest.mark.parametrize("command", PRINTED)
def test_a_command_works_as_typed(cloud: dict[str, str], command: str) -> None:
    if command.split()[0] not in targets():
        pytest.skip("the room of this command is not there")
    result = make(*command.split(), **cloud)
    assert result.returncode == 0, result.stderr
    assert PRINTED[command] in result.stdout


@contextmanager
def following(cloud: dict[str, str], command: list[str], text: str, seconds: float) -> Iterator[None]:
    """Starts a command that runs until it is interrupted; the context begins when the command has printed a text."""
    process = subprocess.Popen(
        ["make", *command],
        cwd=PROJECT,
        env=SHELL | cloud,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    too_long = Timer(seconds, lambda: os.killpg(process.pid, signal.SIGKILL))
    too_long.start()
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if text in line:
                break
        else:
            pytest.fail("".join(printed))
        too_long.cancel()
        yield
    finally:
        too_long.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def test_logs_of_the_local_cloud_are_shown(cloud: dict[str, str]) -> None:
    make("invoke", f"F={EVENTS[0].stem}", **cloud)
    # sam logs does not always end when it is interrupted.
    with suppress(subprocess.TimeoutExpired), following(cloud, ["logs", "ENV=local"], "{", seconds=180):
        pass


def test_a_watched_function_answers_from_its_source(cloud: dict[str, str]) -> None:
    with following(cloud, ["watch", f"F={LIGHT}"], f"Watching {LIGHT}.", seconds=600):
        result = make("invoke", f"F={LIGHT}", **cloud)
        assert result.returncode == 0, result.stderr
        assert "{" in result.stdout


# ---- In a local cloud for these commands alone


@pytest.mark.skipif(not find_spec("locust"), reason="Locust asks for Python 3.11")
def test_the_books_of_a_small_load_balance(tmp_path: Path) -> None:
    if "STACK" in os.environ:
        pytest.skip("only with a local cloud")
    page = tmp_path / "load.md"
    paths = os.pathsep.join(str(PROJECT / directory) for directory in ("local", "scripts", "tests"))
    result = subprocess.run(
        [sys.executable, "load/run.py", page],
        cwd=PROJECT,
        env=SHELL | {"PYTHONPATH": paths, "BOOKINGS": "20", "SIGN_UPS": "5"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "**The books balance**" in page.read_text()
