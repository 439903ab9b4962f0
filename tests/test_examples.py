"""Each function answers its example in events/, with a cloud and without one."""

from pathlib import Path

import pytest
import tomlkit
from runtime_api import Function, FunctionError
from stack import Stack

PROJECT = Path(__file__).parent.parent
EXAMPLES = sorted(path.stem for path in (PROJECT / "events").glob("*.json"))
# Nothing listens there.
NO_CLOUD = "http://127.0.0.1:9"


@pytest.mark.parametrize("function", EXAMPLES)
def test_a_function_answers_its_example_when_there_is_no_cloud(function: str) -> None:
    """With the variables that cargo gives it under `cargo lambda watch`."""
    variables = tomlkit.parse((PROJECT / ".cargo" / "config.toml").read_text())["env"].unwrap()
    bootstrap = PROJECT / ".aws-sam" / "build" / function.title().replace("-", "") / "bootstrap"
    example = (PROJECT / "events" / f"{function}.json").read_text()
    with Function(bootstrap, {**variables, "AWS_ENDPOINT_URL": NO_CLOUD}) as running:
        try:
            answer = running.invoke_text(example, timeout=60)
        except FunctionError as error:
            answer = error.document
    # The one that needs no cloud; the others say what they could not do.
    if function == "validate-account":
        assert answer["outcome"] == "VALID"
    else:
        assert answer.get("batchItemFailures") or answer.get("errorMessage")


@pytest.mark.parametrize("function", EXAMPLES)
def test_a_function_answers_its_example_in_a_cloud(stack: Stack, function: str) -> None:
    example = (PROJECT / "events" / f"{function}.json").read_bytes()
    answer = stack.client("lambda").invoke(FunctionName=f"{stack.name}-{function}", Payload=example)
    assert "FunctionError" not in answer, answer["Payload"].read()
