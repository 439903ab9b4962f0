"""Each function answers its example in events/, with a cloud and without one."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud import server
from stack import Stack, wait_until

PROJECT = Path(__file__).parent.parent
EXAMPLES = sorted(path.stem for path in (PROJECT / "events").glob("*.json"))
# So that it compiles nothing that `sam build` has compiled.
HOST = next(
    line.removeprefix("host: ")
    for line in subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout.splitlines()
    if line.startswith("host: ")
)


@pytest.fixture(scope="module")
def watch_port() -> Iterator[int]:
    """That of `cargo lambda watch`, which knows of no cloud."""
    port = server.free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    address = ["--invoke-address", server.HOST, "--invoke-port", str(port)]
    command = ["cargo", "lambda", "watch", "--ignore-changes", "--target", HOST, *address]
    watch = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True)
    try:
        wait_until(lambda: server.is_taken(port), "it listens")
        yield port
    finally:
        os.killpg(watch.pid, signal.SIGTERM)
        watch.wait()


@pytest.mark.parametrize("function", EXAMPLES)
def test_a_function_answers_its_example_when_there_is_no_cloud(watch_port: int, function: str) -> None:
    address = ["--invoke-address", server.HOST, "--invoke-port", str(watch_port)]
    command = ["cargo", "lambda", "invoke", function, "--data-file", f"events/{function}.json", *address]
    # As long as it takes to compile.
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False)
    if function == "validate-account":
        assert '"VALID"' in answer.stdout, answer
    elif answer.returncode == 0:
        # It reports what it could not do.
        assert '"batchItemFailures":[{' in answer.stdout, answer
    else:
        assert "Unavailable" in answer.stderr, answer


@pytest.mark.parametrize("function", EXAMPLES)
def test_a_function_answers_its_example_in_a_cloud(stack: Stack, function: str) -> None:
    example = (PROJECT / "events" / f"{function}.json").read_bytes()
    answer = stack.client("lambda").invoke(FunctionName=f"{stack.name}-{function}", Payload=example)
    assert "FunctionError" not in answer, answer["Payload"].read()
