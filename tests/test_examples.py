"""Each function answers its example in events/, with a cloud and without one."""

import pytest
import tomlkit
from rooms import DEPLOYED, PROJECT, Room, kebab
from runtime_api import Function, FunctionError
from stack import Stack

FUNCTIONS = [(room, name) for room in DEPLOYED for name in room.functions]
# Nothing listens at this port.
NO_CLOUD = "http://127.0.0.1:9"


def example(room: Room, name: str) -> str:
    return (PROJECT / "events" / room.name / f"{kebab(name)}.json").read_text()


@pytest.mark.parametrize(("room", "name"), FUNCTIONS, ids=str)
def test_a_function_answers_its_example_when_there_is_no_cloud(room: Room, name: str) -> None:
    """With the variables that cargo sets for it under `cargo lambda watch`."""
    variables = tomlkit.parse((PROJECT / ".cargo" / "config.toml").read_text())["env"].unwrap()
    with Function(room.bootstrap(name), {**variables, "AWS_ENDPOINT_URL": NO_CLOUD}) as running:
        try:
            answer = running.invoke_text(example(room, name), timeout=60)
        except FunctionError as error:
            answer = error.document
    # A function without any resource needs no cloud; the others report what they could not do.
    needs_cloud = "Environment" in room.functions[name]["Properties"]
    assert bool(answer.get("batchItemFailures") or answer.get("errorMessage")) == needs_cloud, answer


@pytest.mark.parametrize(("room", "name"), FUNCTIONS, ids=str)
def test_a_function_answers_its_example_in_a_cloud(stack: Stack, room: Room, name: str) -> None:
    function, payload = f"{stack.name}-{kebab(name)}", example(room, name).encode()
    answer = stack.client("lambda").invoke(FunctionName=function, Payload=payload)
    assert "FunctionError" not in answer, answer["Payload"].read()
