"""ECS runs the programs of images as processes of this machine.

MiniStack runs containers in Docker. Here a container is a process: the image's entry point, with the task's
environment. A process that ends is replaced. A stack waits until a service has reached a steady state, and fails with
its deployment.

Each task has an address, to which only the load balancer leads (``address``): in truth, the container listens on a free
port of 127.0.0.1, which it gets in place of its port in the environment. So several tasks can run on one machine.

The execution role needs the permissions to pull the image, read the secrets and write logs. The container gets the
credentials of the task role from the address that ECS gives it.

Not here: the image's user, file system and limits; health checks of containers; containers that share a task.
"""

import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from docker.errors import ImageNotFound, NotFound
from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import ecs, imds
from ministack.services.cloudformation import provisioners

from local_cloud import image_repositories, load_balancers, server_page, worker_thread
from local_cloud.processes import Process
from local_cloud.refusals import lacking
from local_cloud.role import assume_role
from local_cloud.server import free_port

Properties = dict[str, Any]

SECONDS_TO_STEADY_STATE = 120
_SECONDS_BETWEEN_LOOKS = 0.1
_CREDENTIALS_LAST = timedelta(hours=1)

_numbers = itertools.count(10)
_task_roles: dict[str, str] = {}


class _Container:
    """A process, as MiniStack sees a container of Docker."""

    def __init__(
        self, image: str, environment: dict[str, str], labels: dict[str, str], command: list[str] | None
    ) -> None:
        task_arn, name = labels["com.amazonaws.ecs.task-arn"], labels["com.amazonaws.ecs.container-name"]
        definition = ecs._task_defs[ecs._resolve_td_key(ecs._tasks[task_arn]["taskDefinitionArn"])]
        [container] = [one for one in definition["containerDefinitions"] if one["name"] == name]
        found = image_repositories.find(image)
        _check_execution_role(definition["executionRoleArn"], found, container)
        root = Path(tempfile.gettempdir()) / "images" / found.digest.replace(":", "-")
        found.unpack(root)
        settings = found.configuration.get("config", {})
        program, *arguments = [*settings.get("Entrypoint", []), *(command or settings.get("Cmd", []))]
        self.id = new_uuid().replace("-", "")
        self.name = name
        self.port = free_port()
        number = next(_numbers)
        self.address = f"10.255.{number // 250}.{number % 250 + 1}"
        self.attrs = {"NetworkSettings": {"Networks": {"awsvpc": {"IPAddress": self.address}}}}
        given = dict(pair.split("=", 1) for pair in settings.get("Env", [])) | environment
        given |= _credentials(definition["taskRoleArn"], given) | {
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_REGION": get_region(),
        }
        if "SSL_CERT_FILE" in os.environ:
            given["SSL_CERT_FILE"] = os.environ["SSL_CERT_FILE"]
        ports = {str(mapping["containerPort"]) for mapping in container.get("portMappings", [])}
        given = {key: str(self.port) if value in ports else value for key, value in given.items()}
        log = Path(tempfile.gettempdir()) / "containers" / f"{self.id}.log"
        log.parent.mkdir(exist_ok=True)
        self.process = Process([str(root / program.lstrip("/")), *arguments], log, environment=given)
        self.task_id = task_arn.rpartition("/")[2]
        load_balancers.addresses[self.address] = self.port
        server_page.parts[f"container/{self.task_id}"] = self

    @property
    def status(self) -> str:
        return "running" if self.process.status is None else "exited"

    def reload(self) -> None:
        """The status is always the newest."""

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self.process.status}

    def stop(self, timeout: int) -> None:
        self.process.stop(timeout)

    def remove(self, **_: Any) -> None:
        _docker.containers.forget(self)
        server_page.parts.pop(f"container/{self.task_id}", None)
        load_balancers.addresses.pop(self.address, None)

    def logs(self, **_: Any) -> Iterator[bytes]:
        """The lines that the container writes, until it ends."""
        with self.process.log.open("rb") as log:
            while True:
                has_ended = self.status == "exited"
                yield from log
                if has_ended:
                    break
                time.sleep(_SECONDS_BETWEEN_LOOKS)


def _check_execution_role(role: str, image: image_repositories.Image, container: Properties) -> None:
    scope = f"{get_region()}:{get_account_id()}"
    needed = [
        ("ecr:GetAuthorizationToken", "*"),
        ("ecr:BatchGetImage", image.repository_arn),
        ("ecr:GetDownloadUrlForLayer", image.repository_arn),
    ]
    for secret in container.get("secrets", []):
        source = secret["valueFrom"]
        if ":secretsmanager:" in source:
            needed.append(("secretsmanager:GetSecretValue", ":".join(source.split(":")[:7])))
        else:
            arn = source if source.startswith("arn:") else f"arn:aws:ssm:{scope}:parameter/{source.lstrip('/')}"
            needed.append(("ssm:GetParameters", arn))
    if group := container.get("logConfiguration", {}).get("options", {}).get("awslogs-group"):
        stream = f"arn:aws:logs:{scope}:log-group:{group}:log-stream:*"
        needed += [("logs:CreateLogStream", stream), ("logs:PutLogEvents", stream)]
    for action, resource in needed:
        if lacking(role, "ecs-tasks", action, resource):
            raise PermissionError(
                f"AccessDeniedException: {role or 'the task without an execution role'} is not authorized to perform: "
                f"{action} on resource: {resource}"
            )


def _credentials(task_role: str, environment: dict[str, str]) -> dict[str, str]:
    """Where the container gets the task role's credentials."""
    identifier = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rpartition("/")[2]
    if not task_role:
        return {}
    _task_roles[identifier] = task_role
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{os.environ['AWS_ENDPOINT_URL']}/v2/credentials/{identifier}"}


class _Images:
    """The repositories of ECR, as MiniStack sees the images of Docker."""

    def get(self, reference: str) -> Any:
        try:
            image = image_repositories.find(reference)
        except image_repositories.ImageMissing as missing:
            raise ImageNotFound(str(missing)) from None
        return SimpleNamespace(id=image.digest, tag=lambda *_, **__: True)

    def pull(self, reference: str, **_: Any) -> Any:
        return self.get(reference)

    def get_registry_data(self, reference: str, **_: Any) -> Any:
        return self.get(reference)


class _Containers:
    def __init__(self) -> None:
        self._running: dict[str, _Container] = {}

    def run(self, image: str, **settings: Any) -> _Container:
        container = _Container(image, settings["environment"], settings["labels"], settings["command"])
        self._running[container.id] = container
        return container

    def forget(self, container: _Container) -> None:
        self._running.pop(container.id, None)

    def get(self, identifier: str) -> _Container:
        if identifier not in self._running:
            raise NotFound(identifier)
        return self._running[identifier]


_docker = SimpleNamespace(containers=_Containers(), images=_Images())


def _normalized(definitions: list[Properties]) -> list[Properties]:
    definitions = normalize(definitions)
    for definition in definitions:
        definition["secrets"] = [
            {"name": secret["Name"], "valueFrom": secret["ValueFrom"]} for secret in definition.get("secrets", [])
        ]
    return definitions


def _make_deployment(*arguments: Any, **named: Any) -> Properties:
    # A service's first deployment is in progress, too.
    return make_deployment(*arguments, **named) | {"rolloutState": "IN_PROGRESS", "rolloutStateReason": ""}


def _wait_for_steady_state(service_arn: str) -> None:
    key = "/".join(service_arn.split("/")[-2:])
    deadline = time.monotonic() + SECONDS_TO_STEADY_STATE
    while time.monotonic() < deadline:
        service = ecs._services[key]
        primary = ecs._primary_deployment(service)
        if any(one["rolloutState"] == "FAILED" for one in service["deployments"]):
            # As CloudFormation says it.
            raise RuntimeError(
                "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'. "
                f"The last task stopped with: {_last_reason(service)}"
            )
        targets = [balancer["targetGroupArn"] for balancer in service["loadBalancers"]]
        if primary["rolloutState"] == "COMPLETED" and all(map(load_balancers.is_healthy, targets)):
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise RuntimeError(f"The service did not reach a steady state. The last task said: {_last_reason(service)}")


def _last_reason(service: Properties) -> str:
    group = f"service:{service['serviceName']}"
    stopped = [task for task in ecs._tasks.values() if task["group"] == group and task["stoppedReason"]]
    return max(stopped, key=lambda task: task["stoppedAt"])["stoppedReason"] if stopped else "nothing"


normalize, make_deployment = provisioners._normalize_container_defs, ecs._make_deployment


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::ECS::Service"]
    create_service, update_service = handlers["create"], handlers["update"]
    handle_imds = imds.handle_request

    def create(logical_id: str, properties: Properties, stack_name: str) -> Any:
        created = create_service(logical_id, properties, stack_name)
        try:
            _wait_for_steady_state(created[0])
        except RuntimeError:
            handlers["delete"](created[0], properties)
            raise
        return created

    def update(physical_id: str, *more: Any) -> Any:
        updated = update_service(physical_id, *more)
        _wait_for_steady_state(updated[0])
        return updated

    async def handle(method: str, path: str, *more: Any) -> Any:
        role = _task_roles.get(path.rpartition("/")[2])
        if role is None:
            return await handle_imds(method, path, *more)
        credentials = assume_role(role, "ecs-tasks.amazonaws.com")
        document = {
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "Token": credentials.token,
            "Expiration": (datetime.now(timezone.utc) + _CREDENTIALS_LAST).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "RoleArn": role,
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    clean_up = ecs._cleanup_task_resources
    worker_thread.provision("AWS::ECS::Service")
    # MiniStack leaves a container that ended to a program that looks for such containers.
    ecs._cleanup_task_resources = lambda task, _, *more: clean_up(task, _docker, *more)
    ecs._get_docker = lambda: _docker
    ecs._make_deployment = _make_deployment
    imds.handle_request = handle
    provisioners._normalize_container_defs = _normalized
    provisioners._RESOURCE_HANDLERS["AWS::ECS::Service"] = handlers | {"create": create, "update": update}
