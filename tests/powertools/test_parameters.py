"""Parameters: the example function with the local cloud, with and without the extensions in front of it."""

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from examples import example
from local_cloud.server import free_port
from runtime_api import Function, FunctionError

Client = Callable[[str], Any]

TOKEN = "the-session's-token"
KEY, ROTATED_KEY = "hunter2", "correct horse battery staple"
LIMIT = "7340033"


@dataclass
class Extensions:
    """Both extensions on one port: their values, and the calls without the token."""

    values: dict[str, object]
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    port: int = 0


@contextmanager
def extensions(values: dict[str, object]) -> Iterator[Extensions]:
    held = Extensions(values)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urllib.parse.unquote(self.path)
            held.asked.append(path)
            if self.headers["X-Aws-Parameters-Secrets-Token"] != TOKEN:
                held.refused.append(path)
                return self.reply(401, b"")
            if path not in held.values:
                return self.reply(500, b"")
            return self.reply(200, json.dumps(held.values[path]).encode())

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        held.port = http_server.server_port
        yield held
        http_server.shutdown()


def environment(endpoint: str, extension_port: int | None = None, **more: str) -> dict[str, str]:
    port = str(extension_port or free_port())
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_SESSION_TOKEN": TOKEN,
        "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": port,
        "AWS_APPCONFIG_EXTENSION_HTTP_PORT": port,
        **more,
    }


def no_value_in(lines: list[str]) -> bool:
    return not any(value in line for line in lines for value in (KEY, ROTATED_KEY, LIMIT))


@pytest.fixture
def shop(client: Client) -> Iterator[None]:
    """The values that the example reads."""
    parameters, secrets, app_config = (client(name) for name in ("ssm", "secretsmanager", "appconfig"))
    parameters.put_parameter(Name="/shop/limit", Value=LIMIT, Type="String")
    secrets.create_secret(Name="shop/key", SecretString=KEY)
    application = app_config.create_application(Name="shop")["Id"]
    stage = app_config.create_environment(ApplicationId=application, Name="test")["Id"]
    profile = app_config.create_configuration_profile(ApplicationId=application, Name="flags", LocationUri="hosted")
    strategy = app_config.create_deployment_strategy(
        Name="at once", DeploymentDurationInMinutes=0, GrowthFactor=100, FinalBakeTimeInMinutes=0, ReplicateTo="NONE"
    )

    version = app_config.create_hosted_configuration_version(
        ApplicationId=application,
        ConfigurationProfileId=profile["Id"],
        Content=b'{"discount": true}',
        ContentType="application/json",
    )
    app_config.start_deployment(
        ApplicationId=application,
        EnvironmentId=stage,
        ConfigurationProfileId=profile["Id"],
        DeploymentStrategyId=strategy["Id"],
        ConfigurationVersion=str(version["VersionNumber"]),
    )
    yield
    parameters.delete_parameter(Name="/shop/limit")
    secrets.delete_secret(SecretId="shop/key", ForceDeleteWithoutRecovery=True)
    app_config.delete_application(ApplicationId=application)


def test_the_services_are_asked_and_a_rotated_secret_is_seen(cloud: str, client: Client, shop: None) -> None:
    with Function(example("parameters"), environment(cloud)) as function:
        assert function.invoke({"items": 2}) == {"price": 18, "seal": len(KEY)}
        client("secretsmanager").put_secret_value(SecretId="shop/key", SecretString=ROTATED_KEY)
        # The value is kept until the function fetches it again.
        assert function.invoke({"items": 2}) == {"price": 18, "seal": len(KEY)}
        assert function.invoke({"items": 2, "key_changed": True}) == {"price": 18, "seal": len(ROTATED_KEY)}
        assert function.invoke({"items": 2}) == {"price": 18, "seal": len(ROTATED_KEY)}
    assert no_value_in(function.lines)

    with Function(example("parameters"), environment(cloud, POWERTOOLS_PARAMETERS_MAX_AGE="0")) as function:
        assert function.invoke({"items": 2})["seal"] == len(ROTATED_KEY)
        client("secretsmanager").put_secret_value(SecretId="shop/key", SecretString=KEY)
        # The value is not kept. AppConfig's second answer is empty, because nothing has changed.
        assert function.invoke({"items": 2}) == {"price": 18, "seal": len(KEY)}


def test_the_extensions_are_asked_first_and_a_stale_limit_is_told_of(cloud: str, shop: None) -> None:
    values = {
        "/systemsmanager/parameters/get?name=/shop/limit&withDecryption=false": {"Parameter": {"Value": LIMIT}},
        "/secretsmanager/get?secretId=shop/key": {"SecretString": ROTATED_KEY},
        "/applications/shop/environments/test/configurations/flags": {"discount": False},
    }
    dead = f"http://127.0.0.1:{free_port()}"
    with extensions(values) as held:
        function = Function(example("parameters"), environment(dead, held.port, POWERTOOLS_PARAMETERS_MAX_AGE="0"))
        with function:
            assert function.invoke({"items": 2}) == {"price": 20, "seal": len(ROTATED_KEY)}
            assert sorted(held.asked) == sorted(values)
            assert not held.refused
            # A forced fetch calls the service, which does not exist here.
            with pytest.raises(FunctionError, match="secret shop/key is not available now"):
                function.invoke({"items": 2, "key_changed": True})

            # If an old value is allowed, it is used with a warning; otherwise, there is an error.
            values.clear()
            with pytest.raises(FunctionError, match="configuration shop/test/flags is not available now"):
                function.invoke({"items": 2})
        assert no_value_in(function.lines)
        [warning] = [json.loads(line) for line in function.lines if "using a stale value" in line]
        assert warning["level"].startswith("WARN")
        assert "parameter /shop/limit" in json.dumps(warning)

    # Without the token, the extension refuses, and the service answers.
    with (
        extensions(values) as held,
        Function(example("parameters"), environment(cloud, held.port, AWS_SESSION_TOKEN="stolen")) as function,
    ):
        assert function.invoke({"items": 2}) == {"price": 18, "seal": len(KEY)}
        assert len(held.refused) == 3
    assert no_value_in(function.lines)
