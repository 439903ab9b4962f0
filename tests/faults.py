"""Faults made on purpose: functions die, services refuse."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from deployed import rule_name
from stack import Stack


def function_processes(name: str) -> list[int]:
    """The function's processes in this test's cloud, as Linux lists them."""
    wanted = {
        f"AWS_LAMBDA_FUNCTION_NAME={name}".encode(),
        f"AWS_ENDPOINT_URL={os.environ['AWS_ENDPOINT_URL']}".encode(),
    }
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # It may have ended.
        with suppress(OSError):
            if wanted <= set((process / "environ").read_bytes().split(b"\0")):
                found.append(int(process.name))
    return found


def send_signal(process: int, number: signal.Signals) -> bool:
    """Returns whether the process was still there."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def kill_function(name: str) -> int:
    """Kills the function's processes; returns their number."""
    return sum(send_signal(process, signal.SIGKILL) for process in function_processes(name))


@contextmanager
def environment(stack: Stack, function: str, **variables: str) -> Iterator[None]:
    """Changes environment variables of a function in this context."""
    functions, name = stack.client("lambda"), f"{stack.name}-{function}"
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": before | variables})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def closed_to_rule(stack: Stack, function: str) -> Iterator[None]:
    """A function refuses the events of its rule in this context."""
    functions, name = stack.client("lambda"), f"{stack.name}-{function}"
    [statement] = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    try:
        yield
    finally:
        functions.add_permission(
            FunctionName=name,
            StatementId=statement["Sid"],
            Action=statement["Action"],
            Principal=statement["Principal"]["Service"],
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        )


@contextmanager
def redefined(stack: Stack, state_machine_arn: str, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """A workflow has a changed definition inside this context."""
    workflows = stack.client("stepfunctions")
    before = workflows.describe_state_machine(stateMachineArn=state_machine_arn)["definition"]
    definition = json.loads(before)
    change(definition)
    workflows.update_state_machine(stateMachineArn=state_machine_arn, definition=json.dumps(definition))
    try:
        yield
    finally:
        workflows.update_state_machine(stateMachineArn=state_machine_arn, definition=before)


@contextmanager
def denied(stack: Stack, function: str, action: str) -> Iterator[None]:
    """A function lacks a permission inside this context."""
    role = stack.client("lambda").get_function_configuration(FunctionName=f"{stack.name}-{function}")["Role"]
    with denied_to_role(stack, role.rpartition("/")[2], action):
        yield


@contextmanager
def denied_to_role(stack: Stack, role: str, action: str, resource: str = "*") -> Iterator[None]:
    """A role lacks a permission inside this context."""
    with _statement_of_role(stack, role, {"Effect": "Deny", "Action": action, "Resource": resource}):
        yield


@contextmanager
def permitted_to_role(stack: Stack, role: str, action: str) -> Iterator[None]:
    """A role has one more permission inside this context."""
    with _statement_of_role(stack, role, {"Effect": "Allow", "Action": action, "Resource": "*"}):
        yield


@contextmanager
def _statement_of_role(stack: Stack, role: str, statement: dict[str, Any]) -> Iterator[None]:
    iam = stack.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="fault", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="fault")


@contextmanager
def put_object_refused(stack: Stack, prefix: str, output: str) -> Iterator[None]:
    """S3 refuses objects below a prefix, in the bucket that this output of the stack names, in this context."""
    s3, bucket = stack.client("s3"), stack.outputs[output]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    outage = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/{prefix}*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy | {"Statement": [*policy["Statement"], outage]}))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


@contextmanager
def intercepted(before: Callable[[str], bool], after: Callable[[str], object]) -> Iterator[str]:
    """The address of a proxy of the cloud, on which requests can be intercepted.

    ``before`` gets the operation, and says whether the request goes on; ``after`` gets it when the cloud has answered
    and the caller has not heard of it yet.
    """
    endpoint = os.environ["AWS_ENDPOINT_URL"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers.get("X-Amz-Target", self.path).rpartition(".")[2]
            if not before(operation):
                self.close_connection = True
                return
            request = urllib.request.Request(f"{endpoint}{self.path}", body, dict(self.headers), method="POST")
            try:
                response = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                response = error
            content = response.read()
            after(operation)
            self.send_response(response.status)
            for name in ("Content-Type", "x-amzn-ErrorType"):
                if value := response.headers.get(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # The caller may have been killed.
    server.handle_error = lambda *arguments: None
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def killed_at_random(
    stack: Stack, functions: list[str], pick: Callable[[list[str]], str], seconds: float = 1
) -> Iterator[list[str]]:
    """Kills one of the functions repeatedly; yields the name of each killed function."""
    hit: list[str] = []
    stopped = False

    def kill() -> None:
        while not stopped:
            function = pick(functions)
            hit.extend([function] * kill_function(f"{stack.name}-{function}"))
            time.sleep(seconds)

    killer = Thread(target=kill)
    killer.start()
    try:
        yield hit
    finally:
        stopped = True
        killer.join()


@contextmanager
def rule_disabled(stack: Stack, room: str, rule: str, bus: str = "default") -> Iterator[None]:
    """A room's rule delivers nothing in this context."""
    events, name = stack.client("events"), rule_name(stack, room, rule)
    events.disable_rule(Name=name, EventBusName=bus)
    try:
        yield
    finally:
        events.enable_rule(Name=name, EventBusName=bus)
