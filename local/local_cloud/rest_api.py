"""REST APIs imported from OpenAPI, complete, and with the integrations that MiniStack lacks.

- The import keeps only type, method and URI of an integration. Here it also carries over templates, mappings,
  credentials, models, validators and gateway responses, and refuses what API Gateway would refuse.
- ``AWS`` integrations reach Lambda and SQS only. Here they also reach DynamoDB, Step Functions and EventBridge, all
  of them with a request signed by the integration's role, so that the role's policies are enforced.
- Mapping templates are a subset. Here ``mapping_template`` renders them, for MOCK integrations too.
- A Cognito authorizer takes access tokens where no scopes are asked for. Here it takes ID tokens only.
- A claim with several values is written as by HTTP APIs, ``[a b]``. Here it is ``a,b``.
- An operation without ``security`` has that of the document. Here, as in API Gateway, it is open.

Not here: ``$context.requestOverride`` (a template that sets it fails), integration request parameters other than the
Content-Type header (refused at import), binary bodies, caching, and custom (non-proxy) Lambda integrations, which
stay MiniStack's.
"""

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from jsonschema import Draft4Validator, FormatChecker
from ministack.core.concurrency import run_reentrant
from ministack.services import apigateway_v1 as gateway

from local_cloud import tracing
from local_cloud.mapping_template import (
    BodyNotJson,
    MappingTemplateError,
    Parameters,
    Rendering,
    json_path,
    parse_json,
    render,
)
from local_cloud.role import RoleNotAssumable, assume_role, signed_request

logger = logging.getLogger(__name__)

# ---- Import ----


class DocumentRefused(ValueError):
    """API Gateway would refuse the document, or this cloud cannot serve it."""


_INTEGRATION_FIELDS = ("httpMethod", "uri", "credentials", "requestParameters", "requestTemplates", "timeoutInMillis")
_PARAMETER_LOCATIONS = {"query": "querystring", "header": "header", "path": "path"}
_JSON = "application/json"


class _Import:
    """Adds to an API that MiniStack has imported the parts of the document that it has dropped."""

    def __init__(self, api_id: str, document: dict[str, Any]) -> None:
        self._api_id = api_id
        self._document = document
        self._schemas = document.get("definitions") or (document.get("components") or {}).get("schemas") or {}

    def run(self) -> None:
        for name, schema in self._schemas.items():
            self._create_model(name, schema)
        validators = {
            name: _body(gateway._create_request_validator(self._api_id, {"name": name, **validator}))["id"]
            for name, validator in (self._document.get("x-amazon-apigateway-request-validators") or {}).items()
        }
        for response_type, response in (self._document.get("x-amazon-apigateway-gateway-responses") or {}).items():
            _body(gateway._put_gateway_response(self._api_id, response_type, response))
        resources = {resource["path"]: resource for resource in gateway._resources[self._api_id].values()}
        for path, item in (self._document.get("paths") or {}).items():
            for verb, operation in item.items():
                if verb.lower() not in gateway._OPENAPI_HTTP_METHODS:
                    continue
                resource = resources[path.rstrip("/") or "/"]
                try:
                    self._complete(resource, verb.upper(), item, operation or {}, validators)
                except DocumentRefused as refusal:
                    raise DocumentRefused(f"{verb.upper()} {path}: {refusal}") from None

    def _complete(
        self,
        resource: dict[str, Any],
        verb: str,
        path_item: dict[str, Any],
        operation: dict[str, Any],
        validators: dict[str, str],
    ) -> None:
        method = resource["resourceMethods"][verb]
        method["operationName"] = operation.get("operationId", "")
        parameters = (path_item.get("parameters") or []) + (operation.get("parameters") or [])
        for parameter in map(self._resolve, parameters):
            if parameter["in"] == "body":
                method["requestModels"] = {_JSON: self._model(parameter["schema"])}
            elif parameter["in"] in _PARAMETER_LOCATIONS:
                name = f"method.request.{_PARAMETER_LOCATIONS[parameter['in']]}.{parameter['name']}"
                method["requestParameters"][name] = bool(parameter.get("required"))
        if "requestBody" in operation:
            method["requestModels"] = self._models(self._resolve(operation["requestBody"]))
        extension = "x-amazon-apigateway-request-validator"
        if validator := operation.get(extension, self._document.get(extension)):
            if validator not in validators:
                raise DocumentRefused(f"there is no request validator {validator!r}")
            method["requestValidatorId"] = validators[validator]
        for status, response in (operation.get("responses") or {}).items():
            if re.fullmatch(r"[1-5]\d\d", str(status)):
                # A response that is a reference stays empty: API Gateway doesn't support those ("important notes").
                _body(
                    gateway._put_method_response(
                        self._api_id,
                        resource["id"],
                        verb,
                        str(status),
                        {
                            "responseParameters": {
                                f"method.response.header.{name}": False for name in response.get("headers") or {}
                            },
                            "responseModels": self._models(response),
                        },
                    )
                )
        if integration := operation.get("x-amazon-apigateway-integration"):
            self._integrate(resource["id"], verb, method, integration)

    def _integrate(self, resource_id: str, verb: str, method: dict[str, Any], integration: dict[str, Any]) -> None:
        settings = {name: integration[name] for name in _INTEGRATION_FIELDS if integration.get(name) is not None}
        settings["type"] = integration["type"].upper()
        settings["passthroughBehavior"] = (integration.get("passthroughBehavior") or "WHEN_NO_MATCH").upper()
        if settings["type"] == "AWS" and _service(settings):
            unsupported = set(settings.get("requestParameters", ())) - {"integration.request.header.Content-Type"}
            if unsupported:
                raise DocumentRefused(f"this cloud does not apply {', '.join(sorted(unsupported))}")
        _body(gateway._put_integration(self._api_id, resource_id, verb, settings))
        statuses = set()
        for pattern, response in (integration.get("responses") or {}).items():
            status = str(response["statusCode"])
            # An integration response is identified by its status code, so a second one would replace the first.
            if status in statuses:
                raise DocumentRefused(f"two integration responses have the status code {status}")
            statuses.add(status)
            # "The status code must map to an existing MethodResponse" (IntegrationResponse).
            if status not in method["methodResponses"]:
                raise DocumentRefused(f"the integration response {status} has no method response")
            declared = method["methodResponses"][status]["responseParameters"]
            for name in response.get("responseParameters") or {}:
                if name not in declared:
                    raise DocumentRefused(f"Invalid mapping expression parameter specified: {name}")
            _body(
                gateway._put_integration_response(
                    self._api_id,
                    resource_id,
                    verb,
                    status,
                    {
                        "selectionPattern": "" if pattern == "default" else pattern,
                        "responseParameters": response.get("responseParameters") or {},
                        "responseTemplates": response.get("responseTemplates") or {},
                    },
                )
            )

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            name = node["$ref"]
            node = self._document
            for step in name.removeprefix("#/").split("/"):
                node = node[step]
        return node

    def _models(self, body_or_response: dict[str, Any]) -> dict[str, str]:
        return {
            media_type: self._model(content["schema"])
            for media_type, content in (body_or_response.get("content") or {}).items()
            if content.get("schema")
        }

    def _model(self, schema: dict[str, Any]) -> str:
        """The name of the model of a schema; a schema without a name of its own gets one, as in API Gateway."""
        reference = schema.get("$ref", "").rpartition("/")[2]
        return reference if reference in self._schemas else self._create_model(f"MODEL{gateway._new_id()}", schema)

    def _create_model(self, name: str, schema: dict[str, Any]) -> str:
        # A model must not depend on the document, so it brings along what it may refer to.
        text = json.dumps({**schema, "definitions": self._schemas})
        text = text.replace('"$ref": "#/components/schemas/', '"$ref": "#/definitions/')
        _body(gateway._create_model(self._api_id, {"name": name, "schema": text}))
        return name


def _body(answer: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    status, _headers, body = answer
    if status >= 400:
        raise DocumentRefused(json.loads(body).get("message"))
    return json.loads(body)


_import_without_details = gateway._import_rest_api


def _import_rest_api(spec: dict[str, Any], base_data: dict[str, Any] | None = None) -> str:
    # "API Gateway doesn't use root level security defined in the OpenAPI specification. Hence security needs to be
    # defined at an operation level to be appropriately applied" (Important notes for REST APIs).
    spec = {name: part for name, part in spec.items() if name != "security"}
    api_id = _import_without_details(spec, base_data)
    try:
        _Import(api_id, spec).run()
    except Exception:
        gateway._delete_rest_api(api_id)
        raise
    return api_id


# ---- Requests ----


@dataclass
class _Call:
    """The parts of a request that the templates of a method can read."""

    body: str
    parameters: Parameters
    context: dict[str, Any]
    stage_variables: dict[str, str]

    def render(self, template: str, body: str) -> Rendering:
        return render(template, body, self.parameters, self.context, self.stage_variables)


# MiniStack's record of the request, to which the layer adds; not every function gets it.
_request: ContextVar[dict[str, Any]] = ContextVar("rest_api_request")

_execute_without_record = gateway._execute_in_scope
_authorize_without_call = gateway._authorize_request_v1
_validate_any_token = gateway._validate_cognito_authorizer


async def _execute_in_scope(request: dict[str, Any], *arguments: Any) -> Any:
    _request.set(request)
    return await _execute_without_record(request, *arguments)


_answer_without_trace = gateway._handle_execute_in_scope


async def _answer(
    api_id: str, stage_name: str, method: str, path: str, headers: dict[str, Any], *arguments: Any
) -> tuple[int, dict[str, str], bytes]:
    stage = gateway._stages_v1.get(api_id, {}).get(stage_name) or {}
    name, is_traced = f"{api_id}/{stage_name}", stage.get("tracingEnabled", False)
    with tracing.continued(headers), tracing.span(name, "apigateway", is_traced) as span:
        answer = await _answer_without_trace(api_id, stage_name, method, path, headers, *arguments)
        span.set_attributes({"http.request.method": method, "url.path": path, "http.response.status_code": answer[0]})
        return answer


async def _authorize_request(
    api_id: str,
    stage_name: str,
    method_obj: dict[str, Any],
    method: str,
    path: str,
    resource: dict[str, Any],
    headers: dict[str, Any],
    body: bytes,
    query_params: dict[str, Any],
    path_params: dict[str, str],
    stage: dict[str, Any],
    *owner: str,
) -> tuple[Any, Any]:
    error, authorizer = await _authorize_without_call(
        api_id, stage_name, method_obj, method, path, resource, headers, body, query_params, path_params, stage, *owner
    )
    event = gateway._build_lambda_event_v1(
        api_id,
        stage_name,
        stage,
        resource,
        path,
        method,
        headers,
        body,
        query_params,
        path_params,
        authorizer_context=authorizer,
    )
    parameters = Parameters(
        path=event["pathParameters"] or {},
        querystring=event["queryStringParameters"] or {},
        header=event["headers"],
    )
    body_text = (body or b"").decode("utf-8", "replace")
    stage_variables = stage.get("variables") or {}
    _request.get()["call"] = _Call(body_text, parameters, event["requestContext"], stage_variables)
    return error, authorizer


async def _validate_cognito_authorizer(authorizer: Any, method_obj: dict[str, Any], *arguments: Any) -> Any:
    claims, error = await _validate_any_token(authorizer, method_obj, *arguments)
    # "If the OAuth Scopes option isn't specified, API Gateway treats the supplied token as an identity token"
    # (Integrate a REST API with an Amazon Cognito user pool), which an access token is not.
    if not error and not method_obj.get("authorizationScopes") and claims.get("token_use") != "id":
        return None, gateway._gw_error("UNAUTHORIZED", "Unauthorized")
    if error:
        return claims, error
    # AWS doesn't document it; programs that run behind such authorizers split "cognito:groups" at commas, such as
    # https://github.com/aws/chalice/issues/783.
    return {name: ",".join(value) if isinstance(value, list) else value for name, value in claims.items()}, None


# ---- Validation ----

_validate_without_reason = gateway._check_request_validation


def _check_request_validation(
    method_obj: dict[str, Any],
    api_id: str,
    request: dict[str, Any],
    headers: dict[str, Any],
    body: bytes,
    query_params: dict[str, Any],
) -> Any:
    # "If no matching content type is found, request validation is not performed" (Request validation for REST APIs);
    # MiniStack would fall back to the model of application/json.
    models = method_obj.get("requestModels") or {}
    model = models.get(_media_type(headers, "content-type"), models.get("$default"))
    method_obj = {**method_obj, "requestModels": {_JSON: model} if model else {}}
    error = _validate_without_reason(method_obj, api_id, request, headers, body, query_params)
    if error is not None and error.response_type == "BAD_REQUEST_BODY":
        reasons = _validation_errors(gateway._model_schema(api_id, model), body)
        request["validation_errors"] = "[" + ", ".join(reasons) + "]"
    elif error is not None:
        request["validation_errors"] = error.message
    return error


_formats = FormatChecker(formats=())
for _name, _check in gateway._JSON_FORMATS.items():
    _formats.checks(_name)(lambda value, check=_check: not isinstance(value, str) or check(value))


def _validation_errors(schema: dict[str, Any], body: bytes) -> Iterator[str]:
    try:
        document = parse_json(body.decode("utf-8", "replace"))
        for error in Draft4Validator(schema, format_checker=_formats).iter_errors(document):
            place = "/".join(map(str, error.absolute_path))
            # The message can begin with the whole value; the problem follows.
            message = error.message if len(error.message) <= 200 else f"{error.message[:80]}...{error.message[-80:]}"
            yield f"{place}: {message}" if place else message
    except BodyNotJson as error:
        yield f"not JSON: {error}"


_gateway_error_without_reason = gateway._gateway_error_response


def _gateway_error_response(error: Any, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = _gateway_error_without_reason(error, request)
    # MiniStack leaves a variable that it does not know as it is. The templates are "simple variable substitutions"
    # (x-amazon-apigateway-gateway-responses.responseTemplates), so the text is escaped for the quotes around it.
    reasons = json.dumps(request.get("validation_errors", ""))[1:-1].encode()
    return status, headers, body.replace(b"$context.error.validationErrorString", reasons)


# ---- Integrations ----


class _ConfigurationError(Exception):
    """A failure that API Gateway answers with the gateway response API_CONFIGURATION_ERROR."""


@dataclass
class _Answer:
    """The response of a service."""

    status: int
    headers: dict[str, str]
    body: str


_JSON_PROTOCOLS = {
    "dynamodb": ("DynamoDB_20120810", "1.0"),
    "states": ("AWSStepFunctions", "1.0"),
    "events": ("AWSEvents", "1.1"),
}


def _service(integration: dict[str, Any]) -> tuple[str, str, str, str] | None:
    """Region, service, verb and rest of the URI, if the layer reaches that service."""
    target = gateway._parse_service_integration_uri(integration.get("uri", ""))
    return target if target and (target[1] in _JSON_PROTOCOLS or target[1] == "sqs") else None


def _media_type(headers: dict[str, Any], name: str) -> str:
    return (gateway._header_ci(headers, name) or _JSON).split(",")[0].split(";")[0].strip().lower()


_invoke_lambda = gateway._invoke_lambda_custom_v1


async def _invoke_aws(integration: dict[str, Any], *arguments: Any, **settings: Any) -> Any:
    if not _service(integration):
        return await _invoke_lambda(integration, *arguments, **settings)
    call: _Call = _request.get()["call"]
    try:
        body = _integration_request(integration, call)
        if body is None:
            return gateway._gw_error("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
        if not integration.get("credentials"):
            raise _ConfigurationError("the integration has no credentials")
        # A thread can't be interrupted: after the timeout it continues, as the service behind API Gateway does.
        sent = asyncio.ensure_future(run_reentrant(_send, integration, body))
        await asyncio.wait({sent}, timeout=int(integration["timeoutInMillis"]) / 1000)
        if not sent.done():
            return gateway._gw_error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
        return _method_response(integration, call, sent.result())
    except (MappingTemplateError, RoleNotAssumable, _ConfigurationError) as problem:
        return _failure(call, problem)


def _invoke_mock(integration: dict[str, Any]) -> Any:
    """A MOCK integration: the request template yields the status code in place of a service."""
    call: _Call = _request.get()["call"]
    try:
        body = _integration_request(integration, call)
        if body is None:
            return gateway._gw_error("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
        status = re.search(r'"?statusCode"?\s*:\s*"?([1-5]\d\d)\b', body)
        if not status:
            raise _ConfigurationError("the request template of the MOCK integration has no statusCode")
        return _method_response(integration, call, _Answer(int(status[1]), {}, ""))
    except (MappingTemplateError, _ConfigurationError) as problem:
        return _failure(call, problem)


def _failure(call: _Call, problem: Exception) -> Any:
    if isinstance(problem, BodyNotJson):
        _request.get()["validation_errors"] = str(problem)
        return gateway._gw_error("BAD_REQUEST_BODY", f"Could not parse request body into json: {problem}")
    logger.error("%s %s: %s", call.context["httpMethod"], call.context["resourcePath"], problem)
    return gateway._gw_error("API_CONFIGURATION_ERROR", "Internal server error")


def _integration_request(integration: dict[str, Any], call: _Call) -> str | None:
    """The body to send; None if the content type is to be rejected."""
    templates = integration["requestTemplates"]
    content_type = _media_type(call.parameters.header, "content-type")
    template = next((text for key, text in templates.items() if key.lower() == content_type), None)
    if template is not None:
        return call.render(template, call.body).text
    # "If a template is defined when this option is selected, the method request with a payload and content type that
    # doesn't match any defined mapping template will be rejected" (Method request behavior for payloads ...).
    if integration["passthroughBehavior"] == "NEVER" or (
        integration["passthroughBehavior"] == "WHEN_NO_TEMPLATES" and templates
    ):
        return None
    return call.body


def _send(integration: dict[str, Any], body: str) -> _Answer:
    region, service, verb, rest = _service(integration)
    credentials = assume_role(integration["credentials"], "apigateway.amazonaws.com")
    path, payload = "/", body.encode("utf-8", "replace")
    if service == "sqs":
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if verb == "action":
            payload = f"Action={rest}&".encode() + payload
        else:
            path = f"/{rest}"
    else:
        prefix, version = _JSON_PROTOCOLS[service]
        headers = {"Content-Type": f"application/x-amz-json-{version}", "X-Amz-Target": f"{prefix}.{rest}"}
    response = signed_request(service, path, headers | tracing.headers(), payload, credentials, region)
    text = response.content.decode("utf-8", "replace")
    return _Answer(response.status_code, dict(response.headers), _query_reply(text) if service == "sqs" else text)


def _query_reply(xml: str) -> str:
    """SQS's Query protocol answers in XML, but in JSON to API Gateway, which asks for it."""

    def value(element: ElementTree.Element) -> Any:
        children = {child.tag.rpartition("}")[2]: value(child) for child in element}
        return children or element.text

    root = ElementTree.fromstring(xml)
    name = root.tag.rpartition("}")[2]
    return json.dumps(value(root) if name == "ErrorResponse" else {name: value(root)})


def _method_response(integration: dict[str, Any], call: _Call, answer: _Answer) -> tuple[int, dict[str, str], bytes]:
    selected = gateway._select_service_integration_response(integration, answer.status)
    if selected is None:
        raise _ConfigurationError(f"no integration response matches the status {answer.status}: {answer.body}")
    accepted = _media_type(call.parameters.header, "accept")
    templates = selected["responseTemplates"] or {}
    content_type = next((name for name in (accepted, _JSON, *templates) if name in templates), _JSON)
    rendering = Rendering(answer.body, None, {})
    if content_type in templates:
        try:
            rendering = call.render(templates[content_type], answer.body)
        except BodyNotJson as problem:
            raise _ConfigurationError(f"the service did not answer in JSON: {problem}") from problem
    headers = {"Content-Type": content_type, "x-amzn-requestid": call.context["requestId"]}
    for target, source in selected["responseParameters"].items():
        value = _mapped(source, call, answer)
        if value is not None:
            _set_header(headers, target.removeprefix("method.response.header."), value)
    # "Override parameters after standard API Gateway mappings have been applied" (Override your API's request and
    # response parameters and status codes).
    for name, value in rendering.headers.items():
        _set_header(headers, name, value)
    status = rendering.status or int(selected["statusCode"])
    return status, headers, rendering.text.encode("utf-8", "replace")


def _set_header(headers: dict[str, str], name: str, value: str) -> None:
    for existing in [key for key in headers if key.lower() == name.lower()]:
        del headers[existing]
    headers[name] = value


def _mapped(source: str, call: _Call, answer: _Answer) -> str | None:
    """The value of a mapping expression of a response parameter; None if it is absent."""
    if len(source) >= 2 and source[0] == source[-1] == "'":
        return source[1:-1]
    if source.startswith("integration.response.header."):
        return gateway._header_ci(answer.headers, source.removeprefix("integration.response.header.")) or None
    documents = {
        "integration.response.body": lambda: parse_json(answer.body),
        "context": lambda: call.context,
        "stageVariables": lambda: call.stage_variables,
    }
    for prefix, document in documents.items():
        if source.startswith(f"{prefix}."):
            try:
                value = json_path(document(), f"${source.removeprefix(prefix)}")
            except (LookupError, BodyNotJson):
                return None
            return value if isinstance(value, str) else json.dumps(value)
    raise _ConfigurationError(f"{source} is not a mapping expression")


def install() -> None:
    gateway._import_rest_api = _import_rest_api
    gateway._execute_in_scope = _execute_in_scope
    gateway._handle_execute_in_scope = _answer
    gateway._authorize_request_v1 = _authorize_request
    gateway._validate_cognito_authorizer = _validate_cognito_authorizer
    gateway._check_request_validation = _check_request_validation
    gateway._gateway_error_response = _gateway_error_response
    gateway._invoke_lambda_custom_v1 = _invoke_aws
    gateway._invoke_sqs_v1 = _invoke_aws
    gateway._invoke_mock_v1 = _invoke_mock
