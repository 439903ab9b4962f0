"""Calls that an AWS service makes in the name of a role.

MiniStack checks the policies of the principal that signs a request. So a call of API Gateway or Lambda in the name of
a role is a request signed by that role: a permission that the template does not give is missing here, too.
"""

import asyncio
import contextvars
import hashlib
import io
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from ministack import app
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, enforce, evaluate_resource_policy, pin_request_origin
from ministack.services import iam, sts

from local_cloud.server import CREDENTIALS

# The account's root user, for calls without a role.
ROOT = Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])


class RoleNotAssumable(Exception):
    """The role does not exist, or does not trust the service."""


def assume_role(role_arn: str, service: str) -> Credentials:
    """The credentials of a session of the role, for a service such as ``apigateway.amazonaws.com``."""
    fields = role_arn.split(":")
    if len(fields) != 6 or fields[2] != "iam" or not fields[5].startswith("role/"):
        raise RoleNotAssumable(f"{role_arn!r} is not the ARN of a role")
    account, name = fields[4], fields[5].rpartition("/")[2]
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        raise RoleNotAssumable(f"role {role_arn} does not exist")
    context = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region="",
        service_context={"aws:sourceaccount": account},
    )
    # evaluate_trust_policy would accept any service if the policy names one; this compares the name.
    if evaluate_resource_policy(role["AssumeRolePolicyDocument"], context, service).decision != "Allow":
        raise RoleNotAssumable(f"the trust policy of {role_arn} does not let {service} assume it")
    # Derived rather than random, so that a role has one session for each service, not one for each call.
    digest = hashlib.sha256(f"{service} {role_arn}".encode()).hexdigest()
    credentials = Credentials(f"ASIA{digest[:16].upper()}", digest[16:56], digest[24:64])
    session_name = service.partition(".")[0]
    sts.register_session(
        credentials.access_key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}",
            "UserId": f"{role['RoleId']}:{session_name}",
            "SecretAccessKey": credentials.secret_key,
            "SessionToken": credentials.token,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
        },
    )
    return credentials


def is_allowed(credentials: Credentials, action: str, resource_arn: str, region: str) -> bool:
    """Whether policies allow a session an action that MiniStack does in its own process, without a request."""
    return _is_key_allowed(credentials.access_key, action, resource_arn, region, {})


def is_caller_allowed(action: str, resource_arn: str, region: str, **condition_keys: str) -> bool:
    """Whether policies allow the signer of the present request an action that it needs besides the request's own."""
    # Empty for the account's root user.
    access_key = iam_evaluator._verified_key.get()
    return not access_key or _is_key_allowed(access_key, action, resource_arn, region, condition_keys)


def _is_key_allowed(
    access_key: str, action: str, resource_arn: str, region: str, condition_keys: dict[str, str]
) -> bool:
    def is_denied() -> bool:
        pin_request_origin("127.0.0.1", secure_transport=True)
        return enforce(access_key, action, action.split(":")[0], region, resource_arn, condition_keys) is not None

    return not contextvars.copy_context().run(is_denied)


def signed_request(
    service: str, path: str, headers: dict[str, str], body: bytes, credentials: Credentials, region: str
) -> AWSResponse:
    """POST one request to this cloud's own endpoint.

    Blocks until this same process answers: from a coroutine, call it through
    ``ministack.core.concurrency.run_reentrant``, never on the event loop.
    """
    url = f"http://127.0.0.1:{app._resolve_port()}{path}"
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    SigV4Auth(credentials, service, region).add_auth(request)
    return serve(request.prepare())


class _Body(io.BytesIO):
    """The body of a response, as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def serve(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """Passes a signed request to this cloud in the same process; a connection would double the time.

    Blocks like ``signed_request``. It can handle botocore's event ``before-send``.
    """
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    elif isinstance(body, str):
        body = body.encode()
    url = urlsplit(request.url)
    names = {name.lower(): value for name, value in request.headers.items()} | {"host": url.netloc}
    headers = [
        (name.encode("latin-1"), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in names.items()
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": unquote(url.path) or "/",
        "raw_path": (url.path or "/").encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": (url.hostname, url.port),
    }
    start: dict[str, Any] = {}
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    # In an empty context: the variables of the caller's request are not for this one.
    contextvars.Context().run(asyncio.run_coroutine_threadsafe, app.app(scope, receive, send), app._MAIN_LOOP).result()
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return AWSResponse(request.url, start["status"], dict(fields), _Body(b"".join(parts)))


def signed_json_request(
    service: str, target: str, body: bytes, credentials: Credentials, json_version: str, region: str
) -> tuple[int, bytes]:
    """One call of a JSON protocol, such as ``DynamoDB_20120810.PutItem``; see ``signed_request``."""
    headers = {"Content-Type": f"application/x-amz-json-{json_version}", "X-Amz-Target": target}
    response = signed_request(service, "/", headers, body, credentials, region)
    return response.status_code, response.content


@cache
def root_client(service: str, region: str) -> Any:
    """A client of the account's root user, for calls without a role. It blocks like ``signed_request``."""
    return client_of(ROOT, service, region)


def client_of(credentials: Credentials, service: str, region: str) -> Any:
    """A client with these credentials. It blocks like ``signed_request``."""
    client = boto3.session.Session().client(
        service,
        region_name=region,
        endpoint_url=f"http://127.0.0.1:{app._resolve_port()}",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.meta.events.register("before-send", serve)
    return client
