"""The workflow's promises: its real definition, with functions whose results are scripted."""

import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

cloud_server = pytest.importorskip("local_cloud.server", reason="needs local/")
running_cloud = pytest.importorskip("running_cloud", reason="needs local/")

DEFINITION = (Path(__file__).parent.parent.parent / "statemachines/accounts/school-account.asl.yaml").read_text()
REQUEST = {"email": "Ada@School.Example", "given_name": "Ada"}
ACCOUNT = {"email": "ada@school.example", "given_name": "Ada"}

# A runtime that answers the n-th invocation with the n-th result of a script, or with its last, and keeps the event.
RUNTIME = """#!/usr/bin/env python3
import json, os, time, urllib.request
api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    response = urllib.request.urlopen(f"{api}/next")
    invocation = response.headers["Lambda-Runtime-Aws-Request-Id"]
    with open(os.environ["EVENTS"], "a+") as events:
        events.write(response.read().decode() + "\\n")
        events.seek(0)
        number = len(events.readlines())
    outcomes = json.loads(os.environ["OUTCOMES"])
    kind, value = outcomes[min(number, len(outcomes)) - 1]
    if kind == "crash":
        os._exit(1)
    if kind == "hang":
        time.sleep(3)
    if kind == "error":
        url, body = f"{api}/{invocation}/error", {"errorType": value, "errorMessage": "scripted"}
    else:
        url, body = f"{api}/{invocation}/response", value
    urllib.request.urlopen(url, json.dumps(body).encode()).read()
"""

VALID = ("return", {"outcome": "VALID", "account": ACCOUNT})
PROBLEM = {"field": "email", "code": "INVALID_EMAIL", "message": 'No "address".'}
INVALID = ("return", {"outcome": "INVALID", "problems": [PROBLEM]})
NONE = ("return", {"outcome": "NONE"})
UNFINISHED = ("return", {"outcome": "UNFINISHED"})
EXISTING = ("return", {"outcome": "ACCOUNT"})
CREATED = ("return", {"student_id": "s-1", "created": True})
OTHERS = ("return", {"student_id": "s-2", "created": False})
NOTIFIED = ("return", {"student_id": "s-1"})

HAPPY = {"validate": VALID, "check": NONE, "create": CREATED, "notify": NOTIFIED}
FUNCTIONS = {
    "validate": "ValidateAccount",
    "check": "CheckAccount",
    "create": "CreateAccount",
    "notify": "NotifyStudent",
}


class Workflow:
    """The workflow in a local cloud where retries don't wait."""

    def __init__(self, cloud: Any, directory: Path) -> None:
        self._cloud = cloud
        self._directory = directory
        self._role = cloud.create_role("workflow", "states.amazonaws.com")
        cloud.allow("workflow", "lambda:InvokeFunction", "*")
        self._function_role = cloud.create_role("scripted", "lambda.amazonaws.com")

    def run(self, timeout_seconds: int = 25, **scripts: Any) -> "Run":
        """Starts one execution. A script is one result for all of a function's invocations, or a list of results."""
        name = uuid.uuid4().hex[:8]
        definition = DEFINITION
        for function, logical_id in FUNCTIONS.items():
            script = scripts.get(function, HAPPY[function])
            arn = self._function(f"{name}-{function}", script if isinstance(script, list) else [script])
            definition = definition.replace(f"${{{logical_id}Arn}}", arn)
        # The test waits for a time-out, so the time-out is short.
        definition = re.sub(r"(?m)^    TimeoutSeconds: \d+$", "    TimeoutSeconds: 1", definition)
        definition = re.sub(r"(?m)^TimeoutSeconds: \d+$", f"TimeoutSeconds: {timeout_seconds}", definition)
        workflows = self._cloud.client("stepfunctions")
        arn = workflows.create_state_machine(
            name=name, type="EXPRESS", roleArn=self._role, definition=json.dumps(yaml.safe_load(definition))
        )["stateMachineArn"]
        execution = workflows.start_sync_execution(stateMachineArn=arn, input=json.dumps(REQUEST))
        return Run(execution, {function: self._events(f"{name}-{function}") for function in FUNCTIONS})

    def _function(self, name: str, outcomes: list[tuple[str, Any]]) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            bootstrap = zipfile.ZipInfo("bootstrap")
            bootstrap.external_attr = 0o755 << 16
            files.writestr(bootstrap, RUNTIME)
        environment = {"OUTCOMES": json.dumps(outcomes), "EVENTS": str(self._directory / name)}
        return self._cloud.client("lambda").create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=self._function_role,
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": environment},
            Timeout=30,
        )["FunctionArn"]

    def _events(self, name: str) -> list[Any]:
        path = self._directory / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Run:
    """An execution, and the events that each function received."""

    def __init__(self, execution: dict[str, Any], events: dict[str, list[Any]]) -> None:
        self.execution = execution
        self.events = events

    def answer(self) -> tuple[int, Any]:
        assert self.execution["status"] == "SUCCEEDED", self.execution
        output = json.loads(self.execution["output"])
        assert set(output) == {"statusCode", "body"}
        return output["statusCode"], json.loads(output["body"])

    def calls(self) -> dict[str, int]:
        return {function: len(events) for function, events in self.events.items()}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    directory = tmp_path_factory.mktemp("workflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFN_WAIT_SCALE", "0")
        with cloud_server.running(directory) as port:
            yield Workflow(running_cloud.Cloud(port, directory / "log"), directory)


def calls(validate: int = 1, check: int = 1, create: int = 1, notify: int = 1) -> dict[str, int]:
    return {"validate": validate, "check": check, "create": create, "notify": notify}


def test_a_new_student_gets_an_account(workflow: Workflow) -> None:
    run = workflow.run()
    [validate], [check], [create], [notify] = run.events.values()
    assert validate == REQUEST
    assert check == {"email": ACCOUNT["email"]}
    assert create["account"] == ACCOUNT
    assert uuid.UUID(create["student_id"])
    assert create["created_at"].startswith("20")
    assert notify == {"student_id": "s-1"}
    assert run.answer() == (201, {"student_id": create["student_id"]})


def test_a_bad_request_is_answered_with_its_problems_and_goes_no_further(workflow: Workflow) -> None:
    run = workflow.run(validate=INVALID)
    status, body = run.answer()
    assert (status, body["code"], body["problems"]) == (422, "INVALID_ACCOUNT", [PROBLEM])
    assert run.calls() == calls(check=0, create=0, notify=0)


def test_an_address_that_has_an_account_is_answered_early(workflow: Workflow) -> None:
    run = workflow.run(check=EXISTING)
    status, body = run.answer()
    assert (status, body["code"]) == (409, "ACCOUNT_EXISTS")
    assert run.calls() == calls(create=0, notify=0)


@pytest.mark.parametrize("check", [NONE, UNFINISHED])
def test_an_account_that_another_began_is_finished_and_answered_as_existing(workflow: Workflow, check: Any) -> None:
    run = workflow.run(check=check, create=OTHERS)
    status, body = run.answer()
    assert (status, body["code"]) == (409, "ACCOUNT_EXISTS")
    assert run.events["notify"] == [{"student_id": "s-2"}]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("failure", [("error", "Unavailable"), ("crash", None), ("hang", None)], ids=lambda f: f[0])
def test_what_fails_once_is_tried_again_with_the_same_event(workflow: Workflow, function: str, failure: Any) -> None:
    run = workflow.run(**{function: [failure, HAPPY[function]]})
    assert run.answer()[0] == 201
    assert run.calls() == calls(**{function: 2})
    assert run.events[function][0] == run.events[function][1]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_keeps_failing_is_given_up_with_an_answer_that_says_try_again(workflow: Workflow, function: str) -> None:
    run = workflow.run(**{function: ("error", "Unavailable")})
    status, body = run.answer()
    assert (status, body["code"]) == (503, "TRY_AGAIN")
    assert len(run.events[function]) == 4


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_can_not_pass_is_not_tried_again(workflow: Workflow, function: str) -> None:
    run = workflow.run(**{function: ("error", "UserConflict")})
    assert run.answer()[0] == 503
    assert len(run.events[function]) == 1


def test_a_workflow_that_takes_too_long_is_ended(workflow: Workflow) -> None:
    run = workflow.run(timeout_seconds=2, validate=("hang", VALID[1]))
    assert (run.execution["status"], run.execution["error"]) == ("TIMED_OUT", "States.Timeout")
