"""Lambda@Edge at viewer-request and origin-request: what may be associated, what a function sees, what it may return.

MiniStack ignores the associations. The rules are those of the CloudFront Developer Guide, "Restrictions on edge
functions" and "Work with requests and responses". Functions run in the Node of the package ``playwright`` if it is
installed, and otherwise in the ``node`` of the path.
"""

import base64
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree.ElementTree import Element

from ministack.core import lambda_runtime
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import error_response_json, get_account_id
from ministack.services import cloudfront, iam, lambda_svc
from ministack.services.cloudformation import provisioners

from local_cloud import clock

REGION = "us-east-1"
KILOBYTE = 1024
SECONDS_OF_REPLICAS = 3 * 3600


class Limits(NamedTuple):
    """What AWS allows a function at an event: MB, seconds, and bytes of code, generated response and body."""

    memory: int
    timeout: int
    code: int
    response: int
    body: int
    read_only: set[str]


LIMITS = {
    "viewer-request": Limits(
        128,
        5,
        KILOBYTE**2,
        40 * KILOBYTE,
        40 * KILOBYTE,
        {"content-length", "host", "transfer-encoding", "via"},
    ),
    "origin-request": Limits(
        10_240,
        30,
        50 * KILOBYTE**2,
        KILOBYTE**2,
        KILOBYTE**2,
        {
            "accept-encoding",
            "content-length",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "transfer-encoding",
            "via",
        },
    ),
}
DISALLOWED = {
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "upgrade",
    "x-accel-buffering",
    "x-accel-charset",
    "x-accel-limit-rate",
    "x-accel-redirect",
    "x-amzn-auth",
    "x-amzn-cf-billing",
    "x-amzn-cf-id",
    "x-amzn-cf-xff",
    "x-amzn-errortype",
    "x-amzn-fle-profile",
    "x-amzn-header-count",
    "x-amzn-header-order",
    "x-amzn-lambda-integration-tag",
    "x-amzn-requestid",
    "x-cache",
    "x-forwarded-proto",
    "x-real-ip",
}
DISALLOWED_PREFIXES = ("x-amz-cf-", "x-edge-")
URL_LENGTH = 8192

ADVICE = (
    "We can't connect to the server for this app or website at this time. There might be too much traffic or a "
    "configuration error. Try again later, or contact the app or website owner."
)
NOT_EXECUTED = (
    "The Lambda function associated with the CloudFront distribution is invalid or doesn't have the required "
    f"permissions.\n{ADVICE}"
)

# Node's clock is that of the cloud. Its code is the value of a flag of Node, which takes no spaces.
MOVED_CLOCK = """
const ahead = %d, now = Date.now;
globalThis.Date = new Proxy(Date, {
  construct: (target, values, made) => Reflect.construct(target, values.length ? values : [now() + ahead], made),
  get: (target, name, self) => (name === "now" ? () => now() + ahead : Reflect.get(target, name, self)),
});
"""


class Failed(Exception):
    """The viewer gets an error page instead of an answer."""

    def __init__(self, status: int, explanation: str, result: str) -> None:
        super().__init__(explanation)
        self.status, self.explanation, self.x_cache = status, explanation, f"{result} from cloudfront"


class Request(NamedTuple):
    """A request as a function sees it; the names of headers are in lower case."""

    method: str
    uri: str
    query: str
    headers: dict[str, Any]
    body: bytes
    client_ip: str


class Response(NamedTuple):
    """The response that a function generated."""

    status: int
    headers: dict[str, Any]
    body: bytes


class Association(NamedTuple):
    function: str
    sees_body: bool


def associations(behavior: Element) -> dict[str, Association]:
    """The functions of a cache behavior by the event."""
    found = {}
    for element in behavior.iter():
        if cloudfront._local_tag_name(element) == "LambdaFunctionAssociation":
            function = cloudfront._text(element, "LambdaFunctionARN")
            sees_body = cloudfront._xbool(element, "IncludeBody", False)
            found[cloudfront._text(element, "EventType")] = Association(function, sees_body)
    return found


def problem(event: str, function: str) -> str | None:
    """Why CloudFront refuses an association."""
    fields = function.split(":")
    if fields[2:3] != ["lambda"] or len(fields) != 8 or not fields[7].isdigit():
        return (
            "The function ARN must reference a specific function version. "
            f"(The ARN must end with the version number.) ARN: {function}"
        )
    if fields[3] != REGION:
        return f"The function must be in region '{REGION}'. ARN: {function}"
    if event not in LIMITS:
        return f"The local cloud runs functions at viewer-request and origin-request only, not at {event}: {function}"
    _, config, _ = lambda_svc._get_func_record_for_ref(function)
    if config is None or fields[4] != get_account_id():
        return (
            "Lambda@Edge cannot retrieve the specified Lambda function. Update the IAM policy to add permission: "
            f"lambda:GetFunction for resource: {function} and try again."
        )
    return (
        _problem_of_feature(config, function)
        or _problem_of_size(config, function, LIMITS[event])
        or _problem_of_role(config["Role"])
    )


def _problem_of_feature(config: dict[str, Any], function: str) -> str | None:
    features = {
        "environment variables": (config.get("Environment") or {}).get("Variables"),
        "a layer": config.get("Layers"),
        "a VPC configuration": (config.get("VpcConfig") or {}).get("SubnetIds"),
        "a dead-letter queue": (config.get("DeadLetterConfig") or {}).get("TargetArn"),
        "active tracing": (config.get("TracingConfig") or {}).get("Mode") == "Active",
        "a container image": config.get("PackageType") == "Image",
        "the arm64 architecture": "arm64" in config.get("Architectures", []),
        "more than 512 MB of ephemeral storage": (config.get("EphemeralStorage") or {}).get("Size", 512) > 512,
    }
    for feature, is_used in features.items():
        if is_used:
            return f"The function cannot have {feature}. Function: {function}"
    if not config.get("Runtime", "").startswith(("nodejs", "python")):
        return f"The function runtime {config.get('Runtime')} is not supported. Function: {function}"
    return None


def _problem_of_size(config: dict[str, Any], function: str, limits: Limits) -> str | None:
    sizes = [
        ("memory size", "size ", config.get("MemorySize", 128), limits.memory),
        ("timeout", "", config.get("Timeout", 3), limits.timeout),
        ("code size", "size ", config.get("CodeSize", 0), limits.code),
    ]
    for name, size, actual, allowed in sizes:
        if actual > allowed:
            return (
                f"The function {name} is larger than the maximum allowed {size}for functions that are triggered by a "
                f"CloudFront event: {actual} Max allowed: {allowed} Function: {function}"
            )
    return None


def _problem_of_role(arn: str) -> str | None:
    role = iam._roles.get(arn.rpartition("/")[2])
    for service in ("lambda.amazonaws.com", "edgelambda.amazonaws.com"):
        context = EvalContext(
            principal_arn=service,
            principal_type="Service",
            principal_account=get_account_id(),
            action="sts:AssumeRole",
            resource_arn=arn,
            region="",
        )
        if not role or evaluate_resource_policy(role["AssumeRolePolicyDocument"], context, service).decision != "Allow":
            return (
                "The function execution role must be assumable with edgelambda.amazonaws.com as well as "
                f"lambda.amazonaws.com principals. Update the IAM role and try again. Role: {arn}"
            )
    return None


def run(
    event: str,
    association: Association,
    distribution: dict[str, Any],
    request_id: str,
    request: Request,
    origin: dict[str, Any] | None = None,
) -> Request | Response:
    """Blocks until the function has answered; raises ``Failed``."""
    limits = LIMITS[event]
    shown = _shown(request, association, limits)
    if origin:
        shown["origin"] = origin
    config = {
        "distributionDomainName": distribution["DomainName"],
        "distributionId": distribution["Id"],
        "eventType": event,
        "requestId": request_id,
    }
    payload = {"Records": [{"cf": {"config": config, "request": shown}}]}
    outcome = lambda_svc._execute_function(_replica(association.function), payload)
    if outcome.get("error"):
        raise Failed(503, NOT_EXECUTED, "LambdaExecutionError")
    try:
        return _checked(outcome["body"], request, shown, limits)
    except (AttributeError, KeyError, TypeError, IndexError):
        raise _invalid("The function returned an object that is neither a request nor a response.") from None


_clocks: dict[str, float] = {}
"""What the clock was ahead when the function last ran."""


def _replica(function: str) -> dict[str, Any]:
    """The version of the function, named as its replicas are, with the cloud's clock."""
    record, config, name = lambda_svc._get_func_record_for_ref(function)
    if config is None:
        raise Failed(503, NOT_EXECUTED, "LambdaExecutionError")
    own_name = f"{REGION}.{name}"
    replica = config | {"FunctionName": own_name}
    logging = config.get("LoggingConfig") or {}
    if logging.get("LogGroup") == f"/aws/lambda/{name}":
        replica["LoggingConfig"] = logging | {"LogGroup": f"/aws/lambda/{own_name}"}
    if clock.ahead:
        code = quote(MOVED_CLOCK % (clock.ahead * 1000))
        replica["Environment"] = {"Variables": {"NODE_OPTIONS": f"--import=data:text/javascript,{code}"}}
    if _clocks.get(function, 0) != clock.ahead:
        # A process keeps the clock with which it started.
        lambda_runtime.invalidate_worker(own_name)
        _clocks[function] = clock.ahead
    return lambda_svc._execution_record_for_config(record, replica)


def _shown(request: Request, association: Association, limits: Limits) -> dict[str, Any]:
    headers = {
        name: [{"key": cloudfront._title_case_header_name(name), "value": one} for one in _values(value)]
        for name, value in request.headers.items()
        if not _is_disallowed(name)
    }
    shown = {
        "clientIp": request.client_ip,
        "headers": headers,
        "method": request.method,
        "querystring": request.query,
        "uri": request.uri,
    }
    if association.sees_body:
        shown["body"] = {
            "action": "read-only",
            "data": base64.b64encode(request.body[: limits.body]).decode(),
            "encoding": "base64",
            "inputTruncated": len(request.body) > limits.body,
        }
    return shown


def _values(value: Any) -> list[str]:
    return value if isinstance(value, list) else [str(value)]


def _is_disallowed(name: str) -> bool:
    return name in DISALLOWED or name.startswith(DISALLOWED_PREFIXES)


def _invalid(reason: str) -> Failed:
    explanation = f"The Lambda function result failed validation: {reason}\n{ADVICE}"
    return Failed(502, explanation, "LambdaValidationError")


def _checked(result: dict[str, Any], request: Request, shown: dict[str, Any], limits: Limits) -> Request | Response:
    if "status" in result:
        return _checked_response(result, limits)
    fixed = ["method", "clientIp", *(["origin"] if "origin" in shown else [])]
    if any(result[name] != shown[name] for name in fixed):
        raise _invalid(f"The function tried to change one of these fields of the request: {', '.join(fixed)}.")
    before, after = shown["headers"], result["headers"]
    headers = _checked_headers(after)
    for name in limits.read_only:
        if _texts(before.get(name)) != _texts(after.get(name)):
            raise _invalid("The function tried to add, delete, or change a read-only header.")
    uri, query = result["uri"], result.get("querystring", "")
    if not uri.startswith("/") or len(uri) + len(query) >= URL_LENGTH:
        raise _invalid("The function returned an invalid URI.")
    if re.search(r"[\s#\x00-\x1f\x7f]", uri + query):
        raise _invalid("The function returned a URI or a query string with an invalid character.")
    # What functions may not see goes on as it came.
    hidden = {name: value for name, value in request.headers.items() if _is_disallowed(name)}
    body = request.body
    if "body" in shown and result["body"]["action"] == "replace":
        body = _checked_body(result["body"]["data"], result["body"].get("encoding", "base64"))[: limits.body]
    return request._replace(uri=uri, query=query, headers=hidden | headers, body=body)


def _texts(fields: list[dict[str, Any]] | None) -> list[str]:
    return [field["value"] for field in fields or []]


def _checked_headers(fields: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for name, entries in fields.items():
        if name != name.lower() or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name):
            raise _invalid("The function returned an invalid header name.")
        if _is_disallowed(name):
            raise _invalid("The function tried to add a blacklisted header.")
        values = _texts(entries)
        if any(entry.get("key", name).lower() != name for entry in entries):
            raise _invalid("The function returned a header whose key is not its name.")
        if not all(isinstance(value, str) and re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value) for value in values):
            raise _invalid("The function returned an invalid character in a header value.")
        if values:
            headers[name] = values if len(values) > 1 else values[0]
    return headers


def _checked_body(data: str, encoding: str) -> bytes:
    if encoding == "text":
        return data.encode()
    if encoding != "base64":
        raise _invalid("The only encodings of a body are text and base64.")
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        raise _invalid("The body is not valid base64.") from None


def _checked_response(result: dict[str, Any], limits: Limits) -> Response:
    status = result["status"]
    if not isinstance(status, str) or not re.fullmatch("[2-5][0-9][0-9]", status):
        raise _invalid("The status code is no string between 200 and 599.")
    fields = result.get("headers") or {}
    headers = _checked_headers(fields)
    if not limits.read_only.isdisjoint(headers):
        raise _invalid("The function tried to add, delete, or change a read-only header.")
    text = result.get("body") or ""
    body = _checked_body(text, result.get("bodyEncoding", "text"))
    if status == "204" and body:
        raise _invalid("A response with the status 204 has no body.")
    if len(json.dumps(fields)) + len(text) > limits.response:
        raise _invalid("The response is larger than the maximum allowed size.")
    return Response(int(status), headers, body)


_replicated: dict[str, float] = {}
"""When a distribution last had the function, in the cloud's time."""


def remember_replicas() -> None:
    """Notes which functions have replicas; before and after a distribution changes."""
    for distribution in cloudfront._distributions.values():
        for element in cloudfront._dist_config_el(distribution).iter():
            if cloudfront._local_tag_name(element) == "LambdaFunctionAssociation":
                _replicated[cloudfront._text(element, "LambdaFunctionARN")] = clock.now()


def problem_of_deletion(name: str, version: str | None = None) -> str | None:
    """Why Lambda does not delete a function, or one version of it."""
    remember_replicas()
    for function, last in _replicated.items():
        fields = function.split(":")
        if fields[6] == name and version in (None, fields[7]) and clock.now() - last < SECONDS_OF_REPLICAS:
            return (
                f"Lambda was unable to delete {function} because it is a replicated function. "
                "Please see our documentation for Deleting Lambda@Edge Functions and Replicas."
            )
    return None


def _node() -> str:
    package = importlib.util.find_spec("playwright")
    if package and package.origin:
        return str(Path(package.origin).parent / "driver" / "node")
    return "node"


def install() -> None:
    detect_runtime = lambda_runtime._detect_runtime_binary
    delete_function = lambda_svc._delete_function

    def detect(runtime: str) -> tuple[str, str]:
        program, script = detect_runtime(runtime)
        return (_node(), script) if program == "node" else (program, script)

    def delete(name: str, query: dict[str, Any], qualifier: str | None = None) -> Any:
        version = lambda_svc._qualifier_from_path_or_query(qualifier, query)
        if message := problem_of_deletion(name, version):
            return error_response_json("InvalidParameterValueException", message, 400)
        return delete_function(name, query, qualifier)

    def refusing(kind: str) -> None:
        handlers = provisioners._RESOURCE_HANDLERS[kind]
        delete_resource = handlers["delete"]

        def delete_unless_replicated(identifier: str, properties: dict[str, Any]) -> None:
            fields = identifier.split(":")
            name, version = fields[6:8] if len(fields) == 8 else (identifier, None)
            if message := problem_of_deletion(name, version):
                raise ValueError(message)
            delete_resource(identifier, properties)

        handlers["delete"] = delete_unless_replicated

    lambda_runtime._detect_runtime_binary = detect
    lambda_svc._delete_function = delete
    refusing("AWS::Lambda::Function")
    refusing("AWS::Lambda::Version")
