"""The deployed directory: its function, its containers, and in the local cloud, its servers."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlencode

import requests
from faults import function_processes
from stack import Stack, stack_name, wait_until

# What API Gateway and the load balancer answer themselves while no function or container can.
BROKEN = {500, 502, 503, 504}

_threads = threading.local()


def _session() -> requests.Session:
    """Keeps its connections for the next request; it is for one thread."""
    if not hasattr(_threads, "session"):
        _threads.session = requests.Session()
    return _threads.session


def is_hit(answer: requests.Response) -> bool:
    return answer.headers.get("Cache-Status") == "directory; hit"


class Directory:
    """The directory beside the stack under test."""

    def __init__(self, stack: Stack) -> None:
        self.root = stack.name
        self.stack = Stack(stack_name(stack.name, "directory"))
        self._api = self.stack.api_url("directory")
        self._balancer, self._host = self.stack.load_balancer("directory")
        # In the local cloud, the names of its servers.
        self.writer, self.reader = f"database/{self.root}-directory-a", f"database/{self.root}-directory-b"
        self.cache = f"cache/{self.root}-directory"
        self.proxies = [f"proxy/{self.root}-directory", f"proxy/{self.root}-directory-read"]
        self.staff = self._token(stack, "dean@school.example", "staff")
        self.student = self._token(stack, "ida@school.example")

    @staticmethod
    def _token(stack: Stack, email: str, *groups: str) -> str:
        stack.create_student(email)
        cognito, pool = stack.client("cognito-idp"), stack.outputs["UserPoolId"]
        for group in groups:
            cognito.admin_add_user_to_group(UserPoolId=pool, Username=email, GroupName=group)
        # The token names the groups.
        return stack.sign_in(email).token

    def function(self, path: str, method: str = "GET", *, token: str = "", **arguments: Any) -> requests.Response:
        headers = arguments.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return _session().request(method, f"{self._api}{path}", headers=headers, timeout=60, **arguments)

    def container(self, path: str, method: str = "GET", **arguments: Any) -> requests.Response:
        headers = self._host | arguments.pop("headers", {})
        return _session().request(method, f"{self._balancer}{path}", headers=headers, timeout=60, **arguments)

    # ---- Changes by staff

    def create(self, plural: str, entry: dict[str, Any]) -> requests.Response:
        return self.function(f"/{plural}", "POST", token=self.staff, json=entry)

    def replace(self, plural: str, entry: dict[str, Any], tag: str = "*") -> requests.Response:
        path = f"/{plural}/{entry['id']}"
        return self.function(path, "PUT", token=self.staff, json=entry, headers={"If-Match": tag})

    def delete(self, path: str, tag: str = "*") -> requests.Response:
        return self.function(path, "DELETE", token=self.staff, headers={"If-Match": tag})

    @contextmanager
    def entry(self, plural: str, entry: dict[str, Any]) -> Iterator[requests.Response]:
        """An entry that exists in this context."""
        # A test that was killed may have left it behind.
        self.delete(f"/{plural}/{entry['id']}")
        created = self.create(plural, entry)
        assert created.status_code == 201, created.text
        try:
            yield created
        finally:
            # Also after a test that has broken something.
            path = f"/{plural}/{entry['id']}"
            wait_until(lambda: self.delete(path).status_code in (204, 404), f"{path} is deleted")

    # ---- Its functions and tasks

    def migrate(self, request_type: str) -> dict[str, Any]:
        """Invokes the migrations as CloudFormation does, but for the answer to it."""
        answer = self.stack.client("lambda").invoke(
            FunctionName=f"{self.root}-migrate-directory", Payload=json.dumps({"RequestType": request_type})
        )
        return json.load(answer["Payload"])

    def function_processes(self) -> list[int]:
        return function_processes(f"{self.root}-serve-directory")

    def tasks(self) -> list[str]:
        """The ids of the running tasks."""
        ecs, service = self.stack.client("ecs"), f"{self.root}-directory-server"
        found = ecs.list_tasks(cluster=f"{self.root}-directory", serviceName=service, desiredStatus="RUNNING")
        return [arn.rpartition("/")[2] for arn in found["taskArns"]]

    @staticmethod
    @contextmanager
    def superuser(server: dict[str, Any]) -> Iterator[Any]:
        """A cursor on a server of the local cloud itself, as AWS has it."""
        import psycopg2
        from local_cloud.server import HOST
        from local_cloud.servers import SUPERUSER

        address = {"host": HOST, "port": server["port"], "user": SUPERUSER, "dbname": "directory"}
        with closing(psycopg2.connect(**address)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    def role(self, logical_id: str) -> str:
        resources = self.stack.client("cloudformation").describe_stack_resource(
            StackName=self.stack.name, LogicalResourceId=logical_id
        )
        return resources["StackResourceDetail"]["PhysicalResourceId"]

    def is_well(self) -> bool:
        """Whether function and containers answer new questions, the cache keeps answers, and the writer is there."""
        for get in (self.function, self.container):
            path = f"/courses?{urlencode({'q': new_question()})}"
            if get(path).status_code != 200 or not is_hit(get(path)):
                return False
        return self.delete("/departments/nobody").status_code == 404


_questions = iter(range(10**9))


def new_question() -> str:
    """A search whose answer no cache has."""
    return f"nobody-{next(_questions)}"
