"""Executions of Step Functions state machines, in the name of the state machine's role.

MiniStack 1.5.33 keeps YAML definitions as they are, runs tasks inside its own process whatever the role may do, has no
``TimeoutSeconds`` of an execution and no JSONata in distributed maps. Here

- a definition in YAML becomes JSON, and one whose JSONata does not parse is refused;
- every task is a request signed by the role, and fails with the error name that AWS gives it;
- an execution ends when its time is over, and no further state begins; a failed one can be redriven;
- the names of executions are checked, and a running one of a standard workflow is started once;
- a job of EMR Serverless is waited for, and cancelled when its task times out or its execution ends;
- distributed maps of JSONata state machines read, select, tolerate failures and write their results.

Not here: ``ItemBatcher``, ``WriterConfig``, inventory manifests, ``.sync`` of other services than Step Functions and
EMR Serverless, distributed maps in JSONPath (MiniStack's own, without the role for S3), redrives of single items or
branches (the whole state is repeated), and ``TestState``.
"""

import csv
import io
import json
import random
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3
import jsonata
import yaml
from botocore import xform_name
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.model import OperationModel, Shape
from botocore.response import StreamingBody
from ministack import app
from ministack.core.concurrency import spawn_background
from ministack.core.responses import error_response_json, get_region, json_response, new_uuid, now_iso
from ministack.services import stepfunctions
from ministack.services.cloudformation import provisioners

from local_cloud import tracing
from local_cloud.role import RoleNotAssumable, assume_role, is_allowed, serve

Execution = dict[str, Any]
State = dict[str, Any]
Context = dict[str, Any]

StateError = stepfunctions._ExecutionError

# ---- Definitions ----

_definition_text = provisioners._sfn_definition


def _definition(properties: dict[str, Any]) -> str:
    text = _definition_text(properties)
    try:
        json.loads(text)
    except ValueError:
        # YAML reads 2026-11-20 as a date, which the Amazon States Language does not have.
        text = json.dumps(yaml.safe_load(text), default=str)
    if problem := stepfunctions._validate_definition_jsonata(text):
        raise provisioners._sfn_handler_error(f"Invalid State Machine Definition: '{problem}'")
    return text


# ---- Executions ----

PAYLOAD_LIMIT_BYTES = 256 * 1024
_SECONDS_BETWEEN_LOOKS = 0.2


class Ended(Exception):
    """The execution has ended meanwhile: it timed out or was stopped."""


@dataclass(eq=False)
class Run:
    """A running execution."""

    execution: Execution
    role_arn: str
    start_at: str
    value: Any
    variables: dict[str, Any]
    """The state that comes next, its input, and the variables that it finds. A redrive begins there."""
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, status: str, **details: str) -> None:
        with self._lock:
            if self.is_running:
                self.execution.update(details, stopDate=now_iso(), status=status)
                event = f"Execution{status.title().replace('_', '')}"
                details_name = f"{event[0].lower()}{event[1:]}EventDetails"
                stepfunctions._add_event(self.execution, event, {details_name: details})
                stepfunctions._emit_execution_status_event(self.execution)
        self.ended.set()

    @property
    def is_running(self) -> bool:
        # A redrive sets the status back while states of the run before may still end.
        return self.execution["status"] == "RUNNING" and not self.ended.is_set()

    def require_running(self) -> None:
        if not self.is_running:
            raise Ended

    def sleep(self, seconds: float) -> None:
        self.ended.wait(seconds)
        self.require_running()


# The execution of this thread; MiniStack's threads for branches and items copy it.
_run: ContextVar[Run] = ContextVar("step_functions_run")
# The last run of each execution.
_runs: dict[str, Run] = {}


def _run_execution(execution_arn: str) -> None:
    execution = stepfunctions._executions[execution_arn]
    machine = stepfunctions._state_machines[execution["stateMachineArn"]]
    definition = json.loads(machine["definition"])
    execution["redriveCount"] = 0
    run = Run(execution, machine["roleArn"], definition["StartAt"], json.loads(execution["input"]), {})
    _supervise(run, machine, definition)


def _supervise(run: Run, machine: dict[str, Any], definition: dict[str, Any]) -> None:
    _runs[run.execution["executionArn"]] = run
    spawn_background(_run_definition, run, machine, definition, thread_name="state-machine")
    timeout = definition.get("TimeoutSeconds")
    if not run.ended.wait(timeout):
        # A task that has begun continues, as on AWS.
        run.end("TIMED_OUT", error="States.Timeout", cause=f"the execution took longer than {timeout} seconds")


def _run_definition(run: Run, machine: dict[str, Any], definition: dict[str, Any]) -> None:
    _run.set(run)
    execution = run.execution
    try:
        context = {
            "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
            "Execution": {
                "Id": execution["executionArn"],
                "Input": json.loads(execution["input"]),
                "Name": execution["name"],
                "RedriveCount": execution["redriveCount"],
                "RoleArn": run.role_arn,
                "StartTime": execution["startDate"],
            },
            "StateMachine": {"Id": machine["stateMachineArn"], "Name": machine["name"]},
            "variables": dict(run.variables),
        }
        if "redriveDate" in execution:
            context["Execution"]["RedriveTime"] = execution["redriveDate"]
        with tracing.span(machine["name"], "states"):
            output = _run_states(definition["States"], run.start_at, run.value, execution, context, run)
        run.end("SUCCEEDED", output=json.dumps(output))
    except StateError as error:
        run.end("FAILED", error=error.error, cause=error.cause)
    except Exception as error:
        run.end("FAILED", error="States.Runtime", cause=f"{type(error).__name__}: {error}")


def _run_states(
    states: dict[str, State],
    start_at: str,
    value: Any,
    execution: Execution,
    context: Context,
    outermost: Run | None = None,
) -> Any:
    name: str | None = start_at
    while name:
        _run.get().require_running()
        if outermost:
            outermost.start_at, outermost.value, outermost.variables = name, value, dict(context["variables"])
        state = states[name]
        context["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
        entered = {"name": name, "input": json.dumps(value)}
        stepfunctions._add_event(execution, f"{state['Type']}StateEntered", {"stateEnteredEventDetails": entered})
        with tracing.span(name, "states"):
            value, following = _run_state(state, value, execution, context)
        exited = {"name": name, "output": _payload(value)}
        stepfunctions._add_event(execution, f"{state['Type']}StateExited", {"stateExitedEventDetails": exited})
        name = following
    return value


def _payload(value: Any) -> str:
    """The JSON text of an output; raises when it is too long for Step Functions."""
    text = json.dumps(value)
    if len(text) > PAYLOAD_LIMIT_BYTES:
        raise StateError("States.DataLimitExceeded", f"{len(text)} bytes are more than {PAYLOAD_LIMIT_BYTES}")
    return text


# By the type of the state. Those in WORK run tasks or other states.
WORK = {
    "Map": stepfunctions._execute_map,
    "Parallel": stepfunctions._execute_parallel,
    "Task": stepfunctions._execute_task,
}
STEPS = {
    "Choice": stepfunctions._execute_choice,
    "Pass": stepfunctions._execute_pass,
    "Wait": stepfunctions._execute_wait,
}


def _run_state(state: State, value: Any, execution: Execution, context: Context) -> tuple[Any, str | None]:
    kind = state["Type"]
    if kind == "Fail":
        raise StateError(*stepfunctions._fail_state_error(state, value, context))
    if kind == "Succeed":
        if stepfunctions._state_query_language(state, context) == "JSONata":
            return stepfunctions._apply_jsonata_output(state, value, context, default=value), None
        value = stepfunctions._apply_input_path(state, value, context)
        return stepfunctions._apply_output_path(state, value, context), None
    if execute_work := WORK.get(kind):
        return execute_work(state, value, execution, context)
    return STEPS[kind](state, value, context)


_start_other = stepfunctions._start_execution

# API_StartExecution: a name has 1 to 80 characters, and none of these.
_FORBIDDEN_IN_NAMES = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\U0010ffff]')


def _start_execution(request: dict[str, Any]) -> Any:
    name = request.get("name")
    if name is None:
        return _start_other(request)
    if not 1 <= len(name) <= 80:
        limit = "greater than or equal to 1" if name == "" else "less than or equal to 80"
        message = f"Value '{name}' at 'name' failed to satisfy constraint: Member must have length {limit}"
        return error_response_json("ValidationException", f"1 validation error detected: {message}", 400)
    if _FORBIDDEN_IN_NAMES.search(name):
        return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
    machine = stepfunctions._state_machines.get(request.get("stateMachineArn"), {})
    if machine.get("type") == "STANDARD":
        arn = f"{machine['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}"
        execution = stepfunctions._executions.get(arn, {})
        # "If you call StartExecution with the same name and input as a running execution, the call succeeds and return
        # the same response as the original request."
        if execution.get("status") == "RUNNING" and execution["input"] == request.get("input", "{}"):
            return json_response({"executionArn": arn, "startDate": execution["startDate"]})
    return _start_other(request)


_stop_other = stepfunctions._stop_execution


def _stop_execution(request: dict[str, Any]) -> Any:
    answer = _stop_other(request)
    if answer[0] == 200 and (run := _runs.get(request["executionArn"])):
        run.ended.set()
    return answer


def _redrive_execution(request: dict[str, Any]) -> Any:
    """API_RedriveExecution: executions of a standard workflow that "didn't complete successfully"."""
    arn = request.get("executionArn", "")
    run, execution = _runs.get(arn), stepfunctions._executions.get(arn)
    if execution is None:
        return error_response_json("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'", 400)
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
    is_unsuccessful = execution["status"] in ("ABORTED", "FAILED", "TIMED_OUT")
    if run is None or not is_unsuccessful or machine is None or machine["type"] != "STANDARD":
        message = f"Execution is {execution['status']} and cannot be redriven"
        return error_response_json("ExecutionNotRedrivable", message, 400)
    execution.update(status="RUNNING", stopDate=None, output=None, redriveDate=now_iso())
    execution["redriveCount"] += 1
    for name in ("error", "cause"):
        execution.pop(name, None)
    details = {"redriveCount": execution["redriveCount"]}
    stepfunctions._add_event(execution, "ExecutionRedriven", {"executionRedrivenEventDetails": details})
    again = Run(execution, machine["roleArn"], run.start_at, run.value, run.variables)
    # "Redriven executions use the same state machine definition", which the local cloud takes from the state machine.
    definition = json.loads(machine["definition"])
    spawn_background(_supervise, again, machine, definition, thread_name="redrive")
    return json_response({"redriveDate": execution["redriveDate"]})


_describe_other = stepfunctions._describe_execution


def _describe_execution(request: dict[str, Any]) -> Any:
    answer = _describe_other(request)
    execution = stepfunctions._executions.get(request.get("executionArn", ""), {})
    if answer[0] != 200 or "redriveCount" not in execution:
        return answer
    is_redrivable = execution["status"] in ("ABORTED", "FAILED", "TIMED_OUT")
    shown = {
        "redriveCount": execution["redriveCount"],
        "redriveStatus": "REDRIVABLE" if is_redrivable else "NOT_REDRIVABLE",
    }
    if "redriveDate" in execution:
        shown["redriveDate"] = execution["redriveDate"]
    return json_response({**json.loads(answer[2]), **shown})


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
    if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
        return stepfunctions._finalize_response(_redrive_execution(json.loads(body)))
    return await _handle_other(method, path, headers, body, query)


_handle_other = stepfunctions.handle_request
_add_event_to_history = stepfunctions._add_event


def _add_event(execution: Execution, event: str, details: dict[str, Any] | None = None) -> None:
    # A task that continues after the end does not change the history.
    if execution["status"] == "RUNNING" or event.startswith("Execution"):
        _add_event_to_history(execution, event, details)


def _scaled_sleep(seconds: float) -> None:
    _run.get().sleep(seconds * stepfunctions._SFN_WAIT_SCALE)


_start_sync_execution_as_failed = stepfunctions._start_sync_execution


def _start_sync_execution(request: dict[str, Any]) -> Any:
    machine = stepfunctions._state_machines.get(request.get("stateMachineArn"))
    if machine and machine["type"] == "STANDARD":
        message = "This operation is not supported by this type of state machine"
        return error_response_json("StateMachineTypeNotSupported", message, 400)
    answer = _start_sync_execution_as_failed(request)
    body = json.loads(answer[2])
    if body.get("status") in (None, "SUCCEEDED"):
        return answer
    del body["output"]
    execution = stepfunctions._executions[body["executionArn"]]
    return json_response({**body, "error": execution["error"], "cause": execution["cause"]})


# ---- Retries ----

_first_matching_retrier = stepfunctions._find_matching_retrier


def find_matching_retrier(
    retriers: list[dict[str, Any]], error: str, retries: dict[int, int]
) -> tuple[dict[str, Any] | None, int]:
    """The retrier with the delay of this attempt, which MiniStack would compute without limit and jitter."""
    retrier, index = _first_matching_retrier(retriers, error, retries)
    if retrier is None:
        return retrier, index
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries.get(index, 0)
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    if retrier.get("JitterStrategy") == "FULL":
        delay = random.uniform(0, delay)
    return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1}, index


_matches_by_name = stepfunctions._error_matches


def _error_matches(names: list[str], error: str) -> bool:
    if error in ("States.DataLimitExceeded", "States.Runtime"):
        return error == "States.DataLimitExceeded" and error in names
    return _matches_by_name(names, error)


# ---- Tasks ----

# boto3's names of services, where the resource of an integration has another name.
_BOTO3_NAMES = {
    "cognitoidentityprovider": "cognito-idp",
    "eventbridge": "events",
    "sfn": "stepfunctions",
    "states": "stepfunctions",
}
# Errors of SDK integrations begin with the service's name in the SDK for Java.
_SDK_ERROR_PREFIXES = {"cognitoidentityprovider": "CognitoIdentityProvider"} | stepfunctions._AWS_SDK_ERROR_PREFIX
# The error names of optimized integrations: the prefix, and the name of errors without a specific one.
_OPTIMIZED_ERRORS = {
    "dynamodb": ("DynamoDB", "AmazonDynamoDBException"),
    "emr-serverless": ("EMRServerless", "AWSEMRServerlessException"),
    "events": ("EventBridge", "AmazonEventBridgeException"),
    "lambda": ("Lambda", "AWSLambdaException"),
    "sns": ("SNS", "AmazonSNSException"),
    "sqs": ("SQS", "AmazonSQSException"),
    "states": ("StepFunctions", "AWSStepFunctionsException"),
}
_CLIENT_SETTINGS = Config(
    inject_host_prefix=False,
    max_pool_connections=100,
    read_timeout=15 * 60,
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"},
)

_clients: dict[tuple[str, str, str], Any] = {}
_clients_lock = threading.Lock()
_session = boto3.session.Session()


def _credentials() -> Credentials:
    try:
        return assume_role(_run.get().role_arn, "states.amazonaws.com")
    except RoleNotAssumable as problem:
        raise StateError("States.Permissions", str(problem)) from None


def _client(service: str) -> Any:
    credentials = _credentials()
    key = (service, get_region(), credentials.access_key)
    client = _clients.get(key)
    if client is None:
        # Creating clients from one session is not thread-safe.
        with _clients_lock:
            client = _session.client(
                service,
                region_name=get_region(),
                endpoint_url=f"http://127.0.0.1:{app._resolve_port()}",
                aws_access_key_id=credentials.access_key,
                aws_secret_access_key=credentials.secret_key,
                aws_session_token=credentials.token,
                config=_CLIENT_SETTINGS,
            )
            client.meta.events.register("before-call", _add_trace_header)
            client.meta.events.register("before-send", serve)
            _clients[key] = client
    return client


def _add_trace_header(params: dict[str, Any], **_: Any) -> None:
    params["headers"].update(tracing.headers())


def _call(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A request and its response, for a resource such as ``arn:aws:states:::aws-sdk:s3:getObject``."""
    service, action = resource.split(":")[-2:]
    is_optimized = ":aws-sdk:" not in resource
    if is_optimized:
        if service not in _OPTIMIZED_ERRORS or "." in action:
            raise StateError("States.Runtime", f"the local cloud does not have the integration {resource}")
        prefix, general = _OPTIMIZED_ERRORS[service]
    else:
        prefix = _SDK_ERROR_PREFIXES.get(service, service.title())
        general = f"{prefix}Exception"
    client = _client(_BOTO3_NAMES.get(service, service))
    operation = client.meta.service_model.operation_model(action[0].upper() + action[1:])
    try:
        parameters = _parameters(arguments, operation.input_shape)
        result = getattr(client, xform_name(operation.name))(**parameters)
    except ParamValidationError as error:
        raise StateError("States.Runtime", str(error)) from None
    except ClientError as error:
        raise StateError(f"{prefix}.{_error_name(error, operation, general)}", _cause(error, prefix)) from None
    except BotoCoreError as error:
        raise StateError(f"{prefix}.SdkClientException", str(error)) from None
    del result["ResponseMetadata"]
    return _result(result, operation.output_shape, is_optimized)


def _error_name(error: ClientError, operation: OperationModel, general: str) -> str:
    """The name of the exception in the SDK for Java, which Step Functions uses."""
    code = error.response["Error"]["Code"]
    if code not in {shape.name for shape in operation.error_shapes}:
        return general
    return code if code.endswith("Exception") else f"{code}Exception"


def _cause(error: ClientError, service: str) -> str:
    answer = error.response
    metadata = answer["ResponseMetadata"]
    status, request_id = metadata["HTTPStatusCode"], metadata.get("RequestId")
    return f"{answer['Error']['Message']} (Service: {service}, Status Code: {status}, Request ID: {request_id})"


def _parameters(value: Any, shape: Shape) -> Any:
    """Arguments in PascalCase as boto3 takes them: with the API's names, and text where the API has text."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        known = {names.get(name.lower(), name): member for name, member in value.items() if member is not None}
        return {
            name: _parameters(member, shape.members[name]) if name in shape.members else member
            for name, member in known.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_parameters(member, shape.member) for member in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {name: _parameters(member, shape.value) for name, member in value.items()}
    if shape.type_name in ("string", "blob") and not isinstance(value, str):
        return json.dumps(value)
    return value


def _result(value: Any, shape: Shape | None, is_optimized: bool) -> Any:
    """A response of boto3 as JSON, with names in PascalCase."""
    if isinstance(value, dict) and shape is not None:
        if shape.type_name == "structure":
            rename = _pascal_case if is_optimized else stepfunctions._api_name_to_sfn_key
            return {rename(name): _result(member, shape.members[name], is_optimized) for name, member in value.items()}
        return {name: _result(member, shape.value, is_optimized) for name, member in value.items()}
    if isinstance(value, list) and shape is not None:
        return [_result(member, shape.member, is_optimized) for member in value]
    if isinstance(value, datetime):
        if is_optimized:
            return int(value.timestamp() * 1000)
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(value, bytes):
        return value.decode()
    return value


def _pascal_case(name: str) -> str:
    return name[0].upper() + name[1:]


def _call_function(function: str, event: Any) -> Any:
    return _invoke_function({"FunctionName": function, "Payload": event})["Payload"]


def _invoke_function(arguments: dict[str, Any]) -> dict[str, Any]:
    # A text is a JSON value, too, so the payload is always encoded.
    payload = json.dumps(arguments.get("Payload", {}))
    result = _call("arn:aws:states:::lambda:invoke", {**arguments, "Payload": payload})
    text = result["Payload"]
    result["Payload"] = json.loads(text) if text else text
    if "FunctionError" in result:
        error = result["Payload"]
        raise StateError((isinstance(error, dict) and error.get("errorType")) or "Lambda.Unknown", text)
    return result


_invoke_other_resource = stepfunctions._invoke_resource


def _invoke_resource(resource: str, arguments: dict[str, Any]) -> Any:
    if resource == "arn:aws:states:::lambda:invoke":
        result = _invoke_function(arguments)
    else:
        result = _invoke_other_resource(resource, arguments)
    _payload(result)
    return result


def _call_integration(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if resource == "arn:aws:states:::emr-serverless:startJobRun.sync":
        return _start_job_and_wait(arguments)
    result = _call(resource, arguments)
    if resource == "arn:aws:states:::events:putEvents" and result["FailedEntryCount"]:
        raise StateError("EventBridge.FailedEntry", json.dumps(result))
    return result


# Set when the task of this thread has timed out.
_timed_out: ContextVar[threading.Event | None] = ContextVar("step_functions_timed_out", default=None)


def _invoke_resource_with_timeout(resource: str, arguments: dict[str, Any], seconds: float) -> Any:
    """The result of a task that may take so many seconds; MiniStack's thread would not hear of the end."""
    timed_out = threading.Event()

    def invoke() -> Any:
        _timed_out.set(timed_out)
        return _invoke_resource(resource, arguments)

    threads = ThreadPoolExecutor(1)
    future = threads.submit(copy_context().run, invoke)
    threads.shutdown(wait=False)
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        timed_out.set()
        raise StateError("States.Timeout", f"The task took longer than {seconds} seconds") from None


JOB_ENDED = ("SUCCESS", "FAILED", "CANCELLED")


def _start_job_and_wait(arguments: dict[str, Any]) -> dict[str, Any]:
    """Runs a job of EMR Serverless.

    "When an execution is aborted, or a task times out", Step Functions tries to cancel the job ("Integrate other
    services", Run a Job).
    """
    prefix = "arn:aws:states:::emr-serverless:"
    started = _call(f"{prefix}startJobRun", arguments)
    job = {"ApplicationId": started["ApplicationId"], "JobRunId": started["JobRunId"]}
    timed_out = _timed_out.get()
    try:
        while True:
            result = _call(f"{prefix}getJobRun", job)["JobRun"]
            if result["State"] in JOB_ENDED:
                break
            _run.get().sleep(_SECONDS_BETWEEN_LOOKS)
            if timed_out and timed_out.is_set():
                raise Ended
    except Ended:
        _call(f"{prefix}cancelJobRun", job)
        raise
    if result["State"] != "SUCCESS":
        raise StateError("States.TaskFailed", json.dumps(result))
    return result


def _start_execution_and_wait(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    execution_arn = _call("arn:aws:states:::states:startExecution", arguments)["ExecutionArn"]
    while stepfunctions._executions[execution_arn]["status"] == "RUNNING":
        _run.get().sleep(0.05)
    result = _call("arn:aws:states:::states:describeExecution", {"ExecutionArn": execution_arn})
    if result["Status"] != "SUCCEEDED":
        raise StateError("States.TaskFailed", json.dumps(result))
    if resource.endswith(":2"):
        result["Output"] = json.loads(result["Output"])
    return result


# ---- Distributed maps ----

# The "least privileges required to write your child workflow execution results" (IAM policies for ResultWriter).
_WRITER_ACTIONS = ("s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")

_run_jsonpath_map = stepfunctions._run_distributed_map


def _run_distributed_map(
    state: State, value: Any, effective: Any, processor: dict[str, Any], execution: Execution, context: Context
) -> tuple[Any, str | None]:
    if stepfunctions._state_query_language(state, context) != "JSONata":
        return _run_jsonpath_map(state, value, effective, processor, execution, context)

    def evaluated(name: str, default: Any = None) -> Any:
        return stepfunctions._apply_jsonata_template(state.get(name, default), value, context)

    if "ItemBatcher" in state:
        raise StateError("States.Runtime", "the local cloud does not have ItemBatcher")
    # The children are executions that the role starts.
    machine_arn = execution["stateMachineArn"]
    if not is_allowed(_credentials(), "states:StartExecution", machine_arn, get_region()):
        cause = f"{_run.get().role_arn} is not authorized to perform states:StartExecution on {machine_arn}"
        raise StateError("States.Permissions", cause)
    items = _read_items(evaluated("ItemReader")) if "ItemReader" in state else evaluated("Items", value)
    if not isinstance(items, list):
        raise StateError("States.Runtime", "the items of a map must be an array")
    map_run = _MapRun(state, processor, execution, context, len(items), evaluated)

    def child_input(index: int, item: Any) -> Any:
        if "ItemSelector" not in state:
            return item
        item_context = {**context, "Map": {"Item": {"Index": index, "Value": item}}}
        return stepfunctions._apply_jsonata_template(state["ItemSelector"], value, item_context)

    with ThreadPoolExecutor(int(evaluated("MaxConcurrency", 0)) or 64) as threads:
        for index, item in enumerate(items):
            threads.submit(copy_context().run, map_run.run_child, map_run.children[index], child_input, index, item)
    _run.get().require_running()
    results = map_run.export(evaluated("ResultWriter")) if "ResultWriter" in state else map_run.outputs()
    if map_run.end():
        cause = "The specified tolerated failure threshold was exceeded"
        raise StateError("States.ExceedToleratedFailureThreshold", cause)
    output = stepfunctions._apply_jsonata_output(state, value, context, result=results, default=results)
    stepfunctions._apply_state_assign(state, value, context, result=results)
    return output, stepfunctions._next_or_end(state)


def _read_items(reader: dict[str, Any]) -> Any:
    resource = reader["Resource"].replace(":::", ":::aws-sdk:")
    settings = reader.get("ReaderConfig", {})
    try:
        content = _call(resource, reader["Arguments"])
        if resource.endswith(":listObjectsV2"):
            items = content.get("Contents", [])
            while "NextContinuationToken" in content:
                content = _call(
                    resource, {**reader["Arguments"], "ContinuationToken": content["NextContinuationToken"]}
                )
                items += content["Contents"]
        else:
            items = _parse_items(content["Body"], settings)
    except StateError as error:
        raise StateError("States.ItemReaderFailed", f"{error.error}: {error.cause}") from None
    except (ValueError, LookupError, csv.Error) as error:
        raise StateError("States.ItemReaderFailed", f"the items could not be read: {error}") from None
    return items[: int(settings["MaxItems"])] if "MaxItems" in settings else items


def _parse_items(text: str, settings: dict[str, Any]) -> Any:
    if settings.get("InputType") == "JSONL":
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    if settings.get("InputType") != "CSV":
        return stepfunctions._parse_reader_items(text, settings)
    delimiter = stepfunctions._CSV_DELIMITERS[settings.get("CSVDelimiter", "COMMA")]
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, escapechar="\\"))
    headers = settings["CSVHeaders"] if settings["CSVHeaderLocation"] == "GIVEN" else rows.pop(0)
    return [dict(zip(headers, row + [""] * len(headers), strict=False)) for row in rows if row]


class _MapRun:
    """The child executions of a distributed map, and the record that MiniStack's API reports."""

    def __init__(
        self,
        state: State,
        processor: dict[str, Any],
        parent: Execution,
        context: Context,
        items: int,
        evaluated: Callable[..., Any],
    ) -> None:
        self._processor = processor
        self._context = context
        _, _, _, region, account, _, machine_name = parent["stateMachineArn"].split(":")
        label = state.get("Label") or new_uuid()
        self._machine_arn = f"{parent['stateMachineArn']}/{label}"
        self._execution_prefix = f"arn:aws:states:{region}:{account}:execution:{machine_name}/{label}:"
        self._arn = f"arn:aws:states:{region}:{account}:mapRun:{machine_name}/{label}:{new_uuid()}"
        self.children = [self._new_child() for _ in range(items)]
        self._tolerated = {
            name: float(evaluated(name))
            for name in ("ToleratedFailurePercentage", "ToleratedFailureCount")
            if name in state
        }
        self._lock = threading.Lock()
        counts = dict.fromkeys(("running", "succeeded", "failed", "timedOut", "aborted", "resultsWritten"), 0)
        counts |= {"pending": items, "total": items}
        self._record = {
            "mapRunArn": self._arn,
            "executionArn": parent["executionArn"],
            "status": "RUNNING",
            "startDate": now_iso(),
            "maxConcurrency": int(evaluated("MaxConcurrency", 0)),
            "toleratedFailurePercentage": self._tolerated.get("ToleratedFailurePercentage", 0.0),
            "toleratedFailureCount": int(self._tolerated.get("ToleratedFailureCount", 0)),
            "itemCounts": counts,
            "executionCounts": counts,
            "redriveCount": 0,
            "_stateMachineArn": self._machine_arn,
        }
        stepfunctions._map_runs[self._arn] = self._record

    def _new_child(self) -> Execution:
        name = new_uuid()
        return {
            "executionArn": self._execution_prefix + name,
            "stateMachineArn": self._machine_arn,
            "mapRunArn": self._arn,
            "name": name,
            "status": "PENDING",
            "startDate": None,
            "stopDate": None,
            "input": "{}",
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": {"included": True},
            "events": [],
        }

    def _exceeds_tolerance(self) -> bool:
        failed = self._record["itemCounts"]["failed"]
        if not self._tolerated:
            return failed > 0
        percentage = self._tolerated.get("ToleratedFailurePercentage", 100.0)
        count = self._tolerated.get("ToleratedFailureCount", failed)
        return failed * 100 > percentage * len(self.children) or failed > count

    def _count(self, left: str, entered: str) -> None:
        self._record["itemCounts"][left] -= 1
        self._record["itemCounts"][entered] += 1

    def run_child(self, child: Execution, child_input: Callable[[int, Any], Any], index: int, item: Any) -> None:
        with self._lock:
            # A map run that has failed starts no more children.
            if self._exceeds_tolerance() or not _run.get().is_running:
                return
            self._count("pending", "running")
        child.update(status="RUNNING", startDate=now_iso())
        name = child["name"]
        stepfunctions._executions[child["executionArn"]] = child
        try:
            value = child_input(index, item)
            child["input"] = json.dumps(value)
            # A child can read neither the variables nor the execution of its parent.
            started = {"Id": child["executionArn"], "Input": value, "Name": name, "StartTime": child["startDate"]}
            context = {**self._context, "Execution": {**self._context["Execution"], **started}, "variables": {}}
            output = _run_states(self._processor["States"], self._processor["StartAt"], value, child, context)
            outcome = {"status": "SUCCEEDED", "output": json.dumps(output)}
        except StateError as error:
            outcome = {"status": "FAILED", "error": error.error, "cause": error.cause}
        except Ended:
            outcome = {"status": "ABORTED", "error": "", "cause": ""}
        except Exception as error:
            outcome = {"status": "FAILED", "error": "States.Runtime", "cause": f"{type(error).__name__}: {error}"}
        child.update(outcome, stopDate=now_iso())
        with self._lock:
            self._count("running", outcome["status"].lower())

    def end(self) -> bool:
        """Whether more children failed than the map tolerates."""
        failed = self._exceeds_tolerance()
        self._record.update(status="FAILED" if failed else "SUCCEEDED", stopDate=now_iso())
        return failed

    def outputs(self) -> list[Any]:
        """The outputs of the children that succeeded, and what there is to say of those that did not."""
        return [
            json.loads(child["output"]) if child["status"] == "SUCCEEDED" else _description(child)
            for child in self.children
        ]

    def export(self, writer: dict[str, Any]) -> dict[str, Any]:
        """Writes the results to S3, by status, with a manifest."""
        if "WriterConfig" in writer:
            raise StateError("States.Runtime", "the local cloud does not have WriterConfig")
        bucket = writer["Arguments"]["Bucket"]
        folder = "/".join(filter(None, (writer["Arguments"].get("Prefix"), self._arn.rpartition(":")[2])))
        for action in _WRITER_ACTIONS:
            if not is_allowed(_credentials(), action, f"arn:aws:s3:::{bucket}/{folder}/manifest.json", get_region()):
                cause = f"{_run.get().role_arn} is not authorized to perform {action} on {bucket}/{folder}"
                raise StateError("States.ResultWriterFailed", cause)
        results: dict[str, list[Any]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        for child in self.children:
            status = child["status"]
            results[status if status in results else "FAILED"].append(_description(child))

        def write(name: str, content: Any) -> dict[str, Any]:
            text, key = json.dumps(content), f"{folder}/{name}"
            try:
                _call("arn:aws:states:::aws-sdk:s3:putObject", {"Bucket": bucket, "Key": key, "Body": text})
            except StateError as error:
                raise StateError("States.ResultWriterFailed", f"{error.error}: {error.cause}") from None
            return {"Key": key, "Size": len(text)}

        files = {
            status: [write(f"{status}_0.json", children)] if children else [] for status, children in results.items()
        }
        manifest = {"DestinationBucket": bucket, "MapRunArn": self._arn, "ResultFiles": files}
        key = write("manifest.json", manifest)["Key"]
        self._record["itemCounts"]["resultsWritten"] = len(self.children)
        return {"MapRunArn": self._arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


def _description(child: Execution) -> dict[str, Any]:
    """The record that Step Functions exports for a child execution."""
    names = ("executionArn", "input", "name", "output", "error", "cause", "startDate", "stateMachineArn", "status")
    described = {_pascal_case(name): child[name] for name in (*names, "stopDate") if child.get(name) is not None}
    return {**described, "InputDetails": {"Included": True}, "OutputDetails": {"Included": True}, "RedriveCount": 0}


def install() -> None:
    provisioners._sfn_definition = _definition
    stepfunctions._run_execution = _run_execution
    stepfunctions._run_sub_machine = _run_states
    stepfunctions._add_event = _add_event
    stepfunctions._scaled_sleep = _scaled_sleep
    stepfunctions._start_execution = _start_execution
    stepfunctions._start_sync_execution = _start_sync_execution
    stepfunctions._find_matching_retrier = find_matching_retrier
    stepfunctions._error_matches = _error_matches
    stepfunctions._call_lambda = _call_function
    stepfunctions._describe_execution = _describe_execution
    stepfunctions._invoke_resource = _invoke_resource
    stepfunctions._invoke_resource_with_timeout = _invoke_resource_with_timeout
    stepfunctions._stop_execution = _stop_execution
    stepfunctions.handle_request = _handle
    stepfunctions._SERVICE_DISPATCH = {"arn:aws:states:::": _call_integration}
    stepfunctions._invoke_nested_start_execution = _call_integration
    stepfunctions._invoke_nested_start_execution_sync = _start_execution_and_wait
    stepfunctions._run_distributed_map = _run_distributed_map
    # MiniStack limits an expression to 1 s of wall-clock time, too little for a hundred executions on two processors.
    jsonata.Jsonata.jsonata = staticmethod(lambda expression, **limits: jsonata.Jsonata(expression))
