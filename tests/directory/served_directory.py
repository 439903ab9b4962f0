"""The directory's programs and real servers, without a cloud: a function's runtime; Postgres and Valkey behind TLS."""

import base64
import json
import os
import queue
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import requests
import yaml
from local_cloud.certificates import Authority
from local_cloud.postgres_front import PostgresFront
from local_cloud.processes import Process
from local_cloud.server import HOST, free_port, is_taken
from local_cloud.servers import Postgres, Valkey
from local_cloud.valkey_front import ValkeyFront, command

PROJECT = Path(__file__).parent.parent.parent
DOCUMENT = yaml.safe_load((PROJECT / "stacks/directory/openapi.yaml").read_text())
OWNER = {"username": "owner", "password": "correct horse"}
CACHE_PASSWORD = "only-the-front-knows-it"  # pragma: allowlist secret


def program(name: str) -> str:
    """The program that was built last, by `cargo build` or `cargo lambda build`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    built = [path for path in (target / "debug" / name, target / "lambda" / name / "bootstrap") if path.exists()]
    if not built:
        raise RuntimeError(f"there is no program: cargo build -p {name}")
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Function:
    """A function in a runtime that serves one event at a time, with the extension for parameters and secrets."""

    def __init__(self, name: str, log: Path, environment: dict[str, str], values: dict[str, str]) -> None:
        self._events: queue.Queue[bytes] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        function = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path.endswith("/invocation/next"):
                    self._send(function._events.get(), self._invocation())
                elif name := parse_qs(url.query).get("secretId"):
                    self._send(json.dumps({"SecretString": values[name[0]]}).encode())
                elif name := parse_qs(url.query).get("name"):
                    self._send(json.dumps({"Parameter": {"Value": values[name[0]]}}).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                function._answers.put((self.path.rpartition("/")[2], json.loads(body)))
                self._send(b"")

            def _invocation(self) -> dict[str, str]:
                return {
                    "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
                    "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
                    "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:eu-central-1:123456789012:function:{name}",
                }

            def _send(self, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(200)
                for header, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(header, value)
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer((HOST, 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_address[1])
        variables = {"AWS_LAMBDA_RUNTIME_API": f"{HOST}:{port}", "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": port}
        lambda_variables = {"AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"}
        more = {"AWS_LAMBDA_FUNCTION_VERSION": "1", "POWERTOOLS_METRICS_NAMESPACE": "Registrar"}
        self.process = Process([program(name)], log, environment=environment | variables | lambda_variables | more)

    def invoke(self, event: Any) -> Any:
        self._events.put(json.dumps(event).encode())
        kind, answer = self._answers.get(timeout=30)
        if kind == "error":
            raise FunctionError(answer)
        return answer


class FunctionError(Exception):
    """The function failed."""


@dataclass
class Answer:
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def tag(self) -> str:
        return self.headers["etag"]

    @property
    def is_hit(self) -> bool:
        return self.headers["cache-status"] == "directory; hit"


def check_answer(method: str, path: str, answer: Answer) -> None:
    """An answer is one that the document has."""
    template = re.sub(r"^(/\w+)/[^/?]+$", r"\1/{id}", path.partition("?")[0])
    operations = DOCUMENT["paths"].get(template, DOCUMENT["paths"]["/$default"])
    operation = operations.get(method.lower())
    # The container has no route that writes.
    if not operation or answer.status == 405:
        operation = DOCUMENT["paths"]["/$default"]["x-amazon-apigateway-any-method"]
    documented = operation["responses"].get(str(answer.status))
    assert documented, f"{method} {path}: {answer.status} is not documented: {answer.body}"
    if "content" in documented:
        assert answer.headers["content-type"] == "application/json"
        schema = documented["content"]["application/json"]["schema"] | {"components": DOCUMENT["components"]}
        jsonschema.validate(answer.json, schema)
    else:
        assert answer.status == 401 or answer.body == b""


class Server:
    """The container."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.process = Process([program("directory-server")], log, environment=environment | {"PORT": str(self.port)})
        wait_until(lambda: is_taken(self.port))

    def request(self, method: str, path: str, **arguments: Any) -> Answer:
        response = requests.request(method, f"http://{HOST}:{self.port}{path}", timeout=30, **arguments)
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(response.status_code, headers, response.content)
        if path not in ("/health", "/ready"):
            check_answer(method, path, answer)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


class Api:
    """The function behind an HTTP API, called by someone in these groups; `None` has no token."""

    def __init__(self, function: Function, groups: list[str] | None) -> None:
        self._function = function
        self._groups = groups

    def request(
        self, method: str, path: str, json_body: Any = None, headers: dict[str, str] | None = None, body: str = ""
    ) -> Answer:
        path, _, query = path.partition("?")
        context: dict[str, Any] = {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": HOST, "userAgent": "test"},
            "requestId": "UfYZxjGFliAEJ5Q=",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1795170600000,
        }
        if self._groups is not None:
            # "[a b]" is how API Gateway writes a list in a claim.
            claims = {"sub": "1"} | ({"cognito:groups": f"[{' '.join(self._groups)}]"} if self._groups else {})
            context["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
        if json_body is not None:
            headers, body = {"content-type": "application/json"} | (headers or {}), json.dumps(json_body)
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"host": "example.execute-api.eu-central-1.amazonaws.com"} | (headers or {}),
            "requestContext": context,
            "body": body,
            "isBase64Encoded": False,
        }
        result = self._function.invoke(event)
        content = (result.get("body") or "").encode()
        if result.get("isBase64Encoded"):
            content = base64.b64decode(content)
        headers = {name.lower(): value for name, value in result["headers"].items()}
        answer = Answer(result["statusCode"], headers, content)
        check_answer(method, f"{path}?{query}", answer)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: Any) -> Answer:
        return self.request("POST", path, body)

    def put(self, path: str, body: Any, tag: str) -> Answer:
        return self.request("PUT", path, body, {"if-match": tag})

    def delete(self, path: str, tag: str) -> Answer:
        return self.request("DELETE", path, headers={"if-match": tag})


class ServedDirectory:
    """Servers with the seeded directory, the function, and the container."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        authority = Authority(directory / "certificates")
        self.primary = Postgres(directory / "primary")
        self.primary.run(f"CREATE ROLE {OWNER['username']} LOGIN CREATEROLE CREATEDB")
        # As on RDS, where each user of IAM's authentication has this role.
        self.primary.run(f"CREATE ROLE rds_iam; GRANT rds_iam TO {OWNER['username']} WITH ADMIN OPTION")
        self.primary.run(f"CREATE DATABASE directory OWNER {OWNER['username']}")
        self.replica = Postgres(directory / "replica", self.primary)
        self.valkey = Valkey(directory / "valkey", {"directory": f"on ~directory* +@all >{CACHE_PASSWORD}"})
        context = authority.server_context
        self.tokens: list[tuple[str, str, int]] = []
        self.writer = self._front(context, self.primary)
        self.reader = self._front(context, self.replica)
        self.cache_tokens: list[str] = []
        self.cache = ValkeyFront(HOST, free_port(), context, self.valkey.port, self._check_cache_token)

        settings = {
            "writer": {"host": HOST, "port": self.writer.listener.port},
            "reader": {"host": HOST, "port": self.reader.listener.port},
            "database": "directory",
            "cache": {"host": HOST, "port": self.cache.listener.port, "name": "school", "user": "directory"},
            "region": "eu-central-1",
        }
        self.environment = {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",  # pragma: allowlist secret
            "AWS_SESSION_TOKEN": "a+session/token==",  # pragma: allowlist secret
            "AWS_REGION": "eu-central-1",
            "SSL_CERT_FILE": str(authority.certificate),
        }
        database = {"DATABASE_HOST": HOST, "DATABASE_PORT": str(self.writer.listener.port)}
        database |= {"DATABASE_NAME": "directory", "MASTER_SECRET_ARN": "secret"}
        log = directory / "log"
        secret = {"secret": json.dumps(OWNER)}
        self.migrate = Function("migrate-directory", log, self.environment | database, secret)
        self.migrated = self.migrate.invoke({"RequestType": "Create"})
        self.migrate.invoke({"RequestType": "Seed"})
        self.settings = json.dumps(settings)
        values = {"/school/directory/settings": self.settings}
        variables = {"SETTINGS_PARAMETER": "/school/directory/settings"}
        self.function = Function("serve-directory", log, self.environment | variables, values)
        self.anyone, self.student = Api(self.function, None), Api(self.function, [])
        self.staff = Api(self.function, ["teachers", "staff"])
        self.container = self.new_container()

    def _front(self, context: Any, server: Postgres) -> PostgresFront:
        port = free_port()

        def authenticate(user: str, password: str) -> None:
            if user != OWNER["username"]:
                self.tokens.append((user, password, port))

        return PostgresFront(HOST, port, context, server.port, authenticate)

    def _check_cache_token(self, _: str, token: str) -> str:
        self.cache_tokens.append(token)
        return CACHE_PASSWORD

    def new_container(self) -> Server:
        return Server(self.directory / "log", self.environment | {"SETTINGS": self.settings})

    def forget(self) -> None:
        """Empties the cache."""
        self.valkey.stop()
        self.valkey.start()

    def settle(self) -> None:
        """Makes all that the cache knows of changes ten seconds older, so that reads may ask the replica."""
        with socket.create_connection((HOST, self.valkey.port)) as connection, connection.makefile("rb") as answers:

            def ask(*words: str) -> bytes:
                connection.sendall(command(*(word.encode() for word in words)))
                return answers.readline()

            assert ask("AUTH", "directory", CACHE_PASSWORD) == b"+OK\r\n"
            keys = [
                answers.read(int(answers.readline()[1:]) + 2)[:-2].decode() for _ in range(int(ask("KEYS", "*")[1:]))
            ]
            for key in keys:
                # The version of a group, of which others begin with the name.
                if key.count(":") == 2:
                    age = int(ask("PTTL", key)[1:]) - 10_000
                    assert ask("PEXPIRE", key, str(age)) == b":1\r\n"

    def stop(self) -> None:
        for process in (self.container.process, self.function.process, self.migrate.process):
            process.stop()
        for server in (self.replica, self.primary, self.valkey):
            server.stop()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
