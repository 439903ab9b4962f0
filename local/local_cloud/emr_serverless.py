"""EMR Serverless: a stack's applications, and job runs, which run PySpark scripts on Sail.

MiniStack does not have it. Here a job run is a process with the credentials of its execution role. It runs the files
that are in S3, in a Python that has the packages ``pysail`` and ``pyspark-client``: the one that the environment
variable ``EMR_SERVERLESS_PYTHON`` names, or that of the cloud. Sail is a Spark Connect server without Java.

Quotations are from the EMR Serverless User Guide and API Reference.

Not here: Hive, jars, applications without autostart, initial capacity, queues, retries, streaming jobs, executors (the
driver's process does all work), logs in S3, and the Spark UI.
"""

import json
import os
import re
import secrets
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import Shape
from ministack import app
from ministack.core import iam_actions
from ministack.core.concurrency import spawn_background
from ministack.core.iam_evaluator import caller_arn
from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services.cloudformation import provisioners

from local_cloud import clock
from local_cloud.processes import Process
from local_cloud.refusals import Refused
from local_cloud.role import RoleNotAssumable, assume_role, client_of, is_caller_allowed

Properties = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]

SERVICE = "emr-serverless"
PRINCIPAL = "emr-serverless.amazonaws.com"
ENDED = ("SUCCESS", "FAILED", "CANCELLED")
# "Amazon EMR Serverless release versions", without those that are older than Spark 3.5.
RELEASES = re.compile(r"emr-(spark-8\.1|7\.(\d|1[0-4]))\.0")
# "Worker configurations": the memory in GB, at least and at most, by the number of vCPUs.
WORKERS = {1: (2, 8), 2: (4, 16), 4: (8, 30), 8: (16, 60), 16: (32, 120)}
# "Spark job properties": the defaults, for the driver and for executors.
CORES, MEMORY = "4", "14g"
DEFAULT_TIMEOUT_MINUTES = 720
DEFAULT_LOG_GROUP = "/aws/emr-serverless"
# PutLogEvents takes 1 MB and 10,000 events.
_EVENTS_OF_A_CALL, _LETTERS_OF_AN_EVENT = 1_000, 900
_SECONDS_BETWEEN_LOOKS = 0.05

_model = boto3.session.Session()._session.get_service_model(SERVICE)
_applications = AccountRegionScopedDict()
_jobs = AccountRegionScopedDict()


# ---- What the service's model demands


def _refuse(name: str, problem: str) -> None:
    raise Refused("ValidationException", f"1 validation error detected: {name} {problem}")


def _check(value: Any, shape: Shape, name: str = "request") -> None:
    """Raises if a value does not fit the service's model."""
    limits = shape.metadata
    types = {"structure": dict, "map": dict, "list": list, "boolean": bool, "integer": int, "long": int}
    wanted = types.get(shape.type_name, str)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
        _refuse(name, f"must be a {shape.type_name}")
    if shape.type_name == "structure":
        for required in shape.required_members:
            if required not in value:
                _refuse(name, f"must have {required}")
        for key, member in value.items():
            if key not in shape.members:
                _refuse(name, f"has no member {key}")
            _check(member, shape.members[key], f"{name}.{key}")
    elif shape.type_name in ("list", "map"):
        for key, member in value.items() if shape.type_name == "map" else enumerate(value):
            _check(member, shape.value if shape.type_name == "map" else shape.member, f"{name}.{key}")
    size = value if wanted is int else len(value) if wanted is not bool else 0
    if not limits.get("min", size) <= size <= limits.get("max", size):
        _refuse(name, f"must be {limits.get('min', 0)} to {limits.get('max')} long")
    if shape.type_name == "string":
        if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
            _refuse(name, f"must satisfy the pattern {limits['pattern']}")
        if "enum" in limits and value not in limits["enum"]:
            _refuse(name, f"must be one of {limits['enum']}")


# ---- Applications of a stack


def _as_the_api_takes_it(value: Any, shape: Shape) -> Any:
    """A template's value: its names begin with capitals, and a parameter makes text of a number."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        renamed = {names.get(name.lower(), name): member for name, member in value.items()}
        return {
            name: _as_the_api_takes_it(member, shape.members[name]) if name in shape.members else member
            for name, member in renamed.items()
        }
    if shape.type_name == "boolean" and value in ("true", "false"):
        return value == "true"
    if shape.type_name == "integer" and isinstance(value, str) and value.isdigit():
        return int(value)
    return value


def _application(properties: Properties) -> Properties:
    """A checked application."""
    shape = _model.operation_model("CreateApplication").input_shape
    given = _as_the_api_takes_it({name: value for name, value in properties.items() if name != "Tags"}, shape)
    # The model's token is the caller's, and CloudFormation has one for each resource.
    _check(given | {"clientToken": "cloudformation"}, shape, "Application")  # pragma: allowlist secret
    if given["type"].upper() != "SPARK":
        raise ValueError(f"The local cloud has applications of the type Spark, not {given['type']}")
    if not RELEASES.fullmatch(given["releaseLabel"]):
        raise ValueError(f"Release label {given['releaseLabel']} is not supported")
    if given.get("initialCapacity") or given.get("autoStartConfiguration", {}).get("enabled") is False:
        raise ValueError("The local cloud has applications without initial capacity, which start with a job")
    return given


def _arn(application_id: str, job_id: str | None = None) -> str:
    path = f"/applications/{application_id}" + (f"/jobruns/{job_id}" if job_id else "")
    return f"arn:aws:{SERVICE}:{get_region()}:{get_account_id()}:{path}"


def _new_id() -> str:
    return f"00f{secrets.token_hex(7)[:13]}"


def _create_application(logical_id: str, properties: Properties, stack_name: str) -> tuple[str, Properties]:
    given = _application(properties)
    application_id, now = _new_id(), time.time()
    _applications[application_id] = given | {
        "applicationId": application_id,
        "arn": _arn(application_id),
        "createdAt": now,
        "updatedAt": now,
    }
    return application_id, {"ApplicationId": application_id, "Arn": _arn(application_id)}


def _update_application(
    application_id: str, old: Properties, new: Properties, stack_name: str
) -> tuple[str, Properties]:
    given, before = _application(new), _applications[application_id]
    if any(given.get(name) != before.get(name) for name in ("name", "type")):
        raise ValueError("The local cloud does not replace an application: delete it, and create another")
    kept = {name: before[name] for name in ("applicationId", "arn", "createdAt")}
    _applications[application_id] = given | kept | {"updatedAt": time.time()}
    return application_id, {"ApplicationId": application_id, "Arn": _arn(application_id)}


def _delete_application(application_id: str, properties: Properties) -> None:
    if any(job.is_active for job in _jobs_of(application_id)):
        # API_StopApplication: "All scheduled and running jobs must be completed or cancelled".
        raise ValueError(f"Application {application_id} has active jobs: cancel them first")
    _applications.pop(application_id, None)


# ---- Job runs


@dataclass
class _Job:
    """A job run: what the API shows of it, and its process."""

    record: Properties
    request: Properties
    monitoring: Properties
    is_cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_active(self) -> bool:
        return self.record["state"] not in ENDED

    def enter(self, state: str, details: str = "") -> None:
        self.record.update(state=state, stateDetails=details[:256], updatedAt=time.time())

    def run(self) -> None:
        directory = Path(tempfile.gettempdir()) / SERVICE / self.record["jobRunId"]
        directory.mkdir(parents=True)
        try:
            self.enter("SCHEDULED")
            self._run_in(directory)
        except (RoleNotAssumable, ClientError, ValueError) as problem:
            self._end("FAILED", f"Job failed: {problem}")
        except Exception as problem:
            self._end("FAILED", f"{type(problem).__name__}: {problem}")
            raise
        finally:
            shutil.rmtree(directory)

    def _end(self, state: str, details: str) -> None:
        self.record["endedAt"] = time.time()
        self.enter(state, details)

    def _run_in(self, directory: Path) -> None:
        credentials = assume_role(self.record["executionRole"], PRINCIPAL)
        submit = self.request["jobDriver"]["sparkSubmit"]
        parameters = spark_parameters(submit.get("sparkSubmitParameters", ""))
        s3 = client_of(credentials, "s3", get_region())
        script, *modules = [
            _download(s3, address, directory) for address in [submit["entryPoint"], *parameters.py_files]
        ]
        log = _Log(self, credentials)
        driver = Path(__file__).with_name("spark_driver.py")
        command = [os.environ.get("EMR_SERVERLESS_PYTHON", sys.executable), str(driver), str(directory), str(script)]
        command += submit.get("entryPointArguments", [])
        environment = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ} | {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{app._resolve_port()}",
            "AWS_REGION": get_region(),
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(str(path.parent if path.suffix == ".py" else path) for path in modules),
            "RUST_LOG": "error",
        }
        if self.is_cancelled.is_set():
            self._end("CANCELLED", "")
            return
        process = Process(command, directory / "stderr", environment=environment, ends_with="KILL")
        self.record["startedAt"] = time.time()
        self.enter("RUNNING")
        # "If the job run runs beyond this duration, it will be automatically cancelled."
        minutes = self.record["executionTimeoutMinutes"]
        deadline = clock.now() + minutes * 60 if minutes else float("inf")
        while process.status is None and not self.is_cancelled.wait(_SECONDS_BETWEEN_LOOKS):
            if clock.now() > deadline:
                self.enter("CANCELLING")
                self.is_cancelled.set()
        was_cancelled = process.status is None
        if was_cancelled:
            process.kill()
        log.write(directory)
        if was_cancelled:
            reason = f"The job run timed out after {minutes} minutes" if clock.now() > deadline else ""
            self._end("CANCELLED", reason)
        elif process.status == 0:
            self._end("SUCCESS", "")
        else:
            lines = (directory / "stderr").read_text(errors="replace").strip().splitlines() or [""]
            self._end(
                "FAILED",
                "Job failed, please check complete logs in configured logging destination. "
                f"ExitCode: {process.status}. Last few exceptions: {lines[-1]}",
            )


class SparkParameters:
    """The parameters of spark-submit that the local cloud has."""

    def __init__(self, text: str) -> None:
        self.py_files: list[str] = []
        self.configuration: dict[str, str] = {}
        words = iter(shlex.split(text))
        for word in words:
            option, _, value = word.partition("=") if word.startswith("--py-files=") else (word, "", next(words, ""))
            if option == "--py-files":
                self.py_files += value.split(",")
            elif option == "--conf":
                name, _, setting = value.partition("=")
                self.configuration[name] = setting
            else:
                raise Refused("ValidationException", f"The local cloud has --py-files and --conf, not {option}")

    def check_workers(self) -> None:
        """Raises if there is no worker with as many cores and as much memory."""
        for kind in ("driver", "executor"):
            cores = int(self.configuration.get(f"spark.{kind}.cores", CORES))
            memory = self.configuration.get(f"spark.{kind}.memory", MEMORY)
            amount = re.fullmatch(r"(\d+)([gm])b?", memory.lower())
            if cores not in WORKERS or not amount:
                raise Refused("ValidationException", f"spark.{kind}: no worker has {cores} cores and {memory}")
            gigabytes = int(amount[1]) / (1 if amount[2] == "g" else 1024)
            # "spark.driver.memoryOverhead", by default 10 %, and 384 MB at least.
            needed = ceil(gigabytes + max(gigabytes * 0.1, 0.375))
            least, most = WORKERS[cores]
            if not least <= needed <= most:
                raise Refused(
                    "ValidationException",
                    f"spark.{kind}: a worker with {cores} cores has {least} to {most} GB, and {memory} with its "
                    f"overhead is {needed} GB",
                )


def spark_parameters(text: str) -> SparkParameters:
    parameters = SparkParameters(text)
    parameters.check_workers()
    return parameters


def _download(s3: Any, address: str, directory: Path) -> Path:
    """A file of the job, in a folder of its own: a script finds the modules that are named, and no others."""
    url = urlsplit(address)
    if url.scheme != "s3":
        raise ValueError(f"{address} is not an address in S3")
    folder = directory / secrets.token_hex(4)
    folder.mkdir()
    path = folder / Path(url.path).name
    path.write_bytes(s3.get_object(Bucket=url.netloc, Key=url.path[1:])["Body"].read())
    return path


class _Log:
    """The driver's log in CloudWatch, written with the job's role.

    "Logging for EMR Serverless with Amazon CloudWatch": the role needs to describe log groups and streams, to create
    streams and to put events. A job without these permissions fails here before it starts.
    """

    def __init__(self, job: _Job, credentials: Credentials) -> None:
        self._streams: dict[str, str] = {}
        settings = job.monitoring.get("cloudWatchLoggingConfiguration", {"enabled": False})
        if not settings["enabled"]:
            return
        self._client = client_of(credentials, "logs", get_region())
        self._group = settings.get("logGroupName", DEFAULT_LOG_GROUP)
        groups = self._client.describe_log_groups(logGroupNamePrefix=self._group)["logGroups"]
        if self._group not in [group["logGroupName"] for group in groups]:
            self._client.create_log_group(logGroupName=self._group)
        names = [settings.get("logStreamNamePrefix"), "applications", job.record["applicationId"], "jobs"]
        folder = "/".join(filter(None, [*names, job.record["jobRunId"], "SPARK_DRIVER"]))
        self._client.describe_log_streams(logGroupName=self._group, logStreamNamePrefix=folder)
        for name in ("stderr", "stdout"):
            self._streams[name] = f"{folder}/{name}"
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._streams[name])

    def write(self, directory: Path) -> None:
        now = int(time.time() * 1000)
        for name, stream in self._streams.items():
            path = directory / name
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            events = [{"timestamp": now, "message": line[:_LETTERS_OF_AN_EVENT]} for line in lines if line]
            for start in range(0, len(events), _EVENTS_OF_A_CALL):
                part = events[start : start + _EVENTS_OF_A_CALL]
                self._client.put_log_events(logGroupName=self._group, logStreamName=stream, logEvents=part)


# ---- Calls


def _application_of(application_id: str) -> Properties:
    if application_id not in _applications:
        raise Refused("ResourceNotFoundException", f"Application {application_id} does not exist")
    return _applications[application_id]


def _jobs_of(application_id: str) -> list[_Job]:
    return [job for job in _jobs.values() if job.record["applicationId"] == application_id]


def _job_of(application_id: str, job_id: str) -> _Job:
    _application_of(application_id)
    job = _jobs.get(job_id)
    if job is None or job.record["applicationId"] != application_id:
        raise Refused("ResourceNotFoundException", f"Job run {job_id} does not exist")
    return job


def _start_job_run(ids: list[str], request: Properties, query: Properties) -> Properties:
    [application_id] = ids
    _check(request | {"applicationId": application_id}, _model.operation_model("StartJobRun").input_shape)
    application = _application_of(application_id)
    role = request["executionRoleArn"]
    if not is_caller_allowed("iam:PassRole", role, get_region(), **{"iam:PassedToService": PRINCIPAL}):
        raise Refused(
            "AccessDeniedException",
            f"User: {caller_arn()} is not authorized to perform: iam:PassRole on resource: {role}",
        )
    for job in _jobs_of(application_id):
        if job.request["clientToken"] == request["clientToken"]:
            if job.request != request:
                message = f"A job run with the client token {request['clientToken']} has other parameters"
                raise Refused("ConflictException", message)
            return _identity(job)
    if "sparkSubmit" not in request.get("jobDriver", {}):
        raise Refused("ValidationException", "The job driver must be sparkSubmit")
    for name in ("executionIamPolicy", "mode", "retryPolicy"):
        if name in request:
            raise Refused("ValidationException", f"The local cloud does not have {name}")
    spark_parameters(request["jobDriver"]["sparkSubmit"].get("sparkSubmitParameters", ""))
    now, job_id = time.time(), _new_id()
    record = {
        "applicationId": application_id,
        "jobRunId": job_id,
        "arn": _arn(application_id, job_id),
        "createdBy": caller_arn(),
        "createdAt": now,
        "updatedAt": now,
        "executionRole": role,
        "state": "SUBMITTED",
        "stateDetails": "",
        "releaseLabel": application["releaseLabel"],
        "jobDriver": request["jobDriver"],
        "tags": request.get("tags", {}),
        "executionTimeoutMinutes": request.get("executionTimeoutMinutes", DEFAULT_TIMEOUT_MINUTES),
        "mode": "BATCH",
        "attempt": 1,
    }
    for name in ("name", "configurationOverrides"):
        if name in request:
            record[name] = request[name]
    monitoring = application.get("monitoringConfiguration", {}) | request.get("configurationOverrides", {}).get(
        "monitoringConfiguration", {}
    )
    job = _jobs[job_id] = _Job(record, request, monitoring)
    spawn_background(job.run, thread_name="job-run")
    return _identity(job)


def _identity(job: _Job) -> Properties:
    return {name: job.record[name] for name in ("applicationId", "jobRunId", "arn")}


def _get_job_run(ids: list[str], request: Properties, query: Properties) -> Properties:
    return {"jobRun": _job_of(*ids).record}


def _cancel_job_run(ids: list[str], request: Properties, query: Properties) -> Properties:
    job = _job_of(*ids)
    if not job.is_active:
        raise Refused("ValidationException", f"Job run {ids[1]} is in the state {job.record['state']}")
    job.enter("CANCELLING")
    job.is_cancelled.set()
    return {name: job.record[name] for name in ("applicationId", "jobRunId")}


def _list_job_runs(ids: list[str], request: Properties, query: Properties) -> Properties:
    wanted = query.get("states", [])
    jobs = [job.record for job in _jobs_of(ids[0]) if not wanted or job.record["state"] in wanted]
    names = _model.shape_for("JobRunSummary").members
    start, most = int(query.get("nextToken", ["0"])[0]), int(query.get("maxResults", ["50"])[0])
    summaries = [
        {name: record[name] for name in names if name in record} | {"id": record["jobRunId"], "type": "sparkSubmit"}
        for record in sorted(jobs, key=lambda record: record["createdAt"], reverse=True)[start : start + most]
    ]
    return {"jobRuns": summaries} | ({"nextToken": str(start + most)} if start + most < len(jobs) else {})


def _get_application(ids: list[str], request: Properties, query: Properties) -> Properties:
    application, jobs = _application_of(ids[0]), _jobs_of(ids[0])
    state = "STARTED" if any(job.is_active for job in jobs) else "STOPPED" if jobs else "CREATED"
    return {"application": application | {"state": state, "stateDetails": "", "tags": {}}}


CALLS: dict[str, Callable[[list[str], Properties, Properties], Properties]] = {
    "CancelJobRun": _cancel_job_run,
    "GetApplication": _get_application,
    "GetJobRun": _get_job_run,
    "ListJobRuns": _list_job_runs,
    "StartJobRun": _start_job_run,
}


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Properties) -> Answer:
    operation = iam_actions._match_rest_action(SERVICE, method, path, query)
    if operation not in CALLS:
        return error_response_json("ValidationException", f"The local cloud does not have {operation}", 400)
    ids = path.strip("/").split("/")[1::2]
    try:
        return json_response(CALLS[operation](ids, json.loads(body or b"{}"), query))
    except Refused as refusal:
        status = {"AccessDeniedException": 403, "ConflictException": 409, "ResourceNotFoundException": 404}
        return error_response_json(refusal.code, str(refusal), status.get(refusal.code, 400))


def _resource_arn(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Properties, *scope: str
) -> str:
    """The resource that a policy has to allow."""
    if service != SERVICE:
        return _other_resource_arn(service, method, path, headers, body, query, *scope)
    ids = path.strip("/").split("/")[1::2]
    return _arn(*ids) if ids else "*"


_other_resource_arn = iam_actions.extract_resource_arn


def install() -> None:
    app.SERVICE_HANDLERS[SERVICE] = _handle
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    iam_actions._BOTOCORE_SERVICE_MAP[SERVICE] = [SERVICE]
    iam_actions.extract_resource_arn = _resource_arn
    provisioners._RESOURCE_HANDLERS["AWS::EMRServerless::Application"] = {
        "create": _create_application,
        "update": _update_application,
        "delete": _delete_application,
    }
