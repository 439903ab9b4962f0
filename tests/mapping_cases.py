"""Each mapping template of every API, with its possible inputs: values, successes, and each error of its service."""

import functools
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import apache_velocity
import botocore.session
import openapi

# Values that can break a template, a text in JSON, a path, a query, a form or a header.
VALUES = [
    "",
    "plain",
    'it\'s "quoted" and back\\slash \\\' \\" \\u0041 \\n',
    "".join(map(chr, range(32))) + "\x7f\x85\xa0",
    "$input.body $context.requestId ${x} $!{y} $util.escapeJavaScript($z) #set($x = 1) #if(true) #end ## * #* *#",
    '"}, "student_id": {"S": "someone-else"}, "x": {"S": "',
    "</script> a=b&Action=DeleteQueue+%41",
    "\U0001f600 \U0010ffff é \u2028\u2029 \ufeff \ufffe \uffff",
    "e\u0301 \u202e \u200f",
    "x" * 20_000,
    "%",
    "%zz",
    "a%",
    "a%2",
    "%-1",
    "%00",
    "%ff%C3%A9%F0%9F%98%80",
    "abc",
]

# Errors with which a service refuses a request, besides those that botocore knows of its operations.
JSON_ERRORS = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "SerializationException",
    "ThrottlingException",
    "UnrecognizedClientException",
    "ValidationException",
]
ERRORS = {
    "dynamodb": [*JSON_ERRORS, "ProvisionedThroughputExceededException", "RequestLimitExceeded"],
    "sqs": ["AccessDenied", "InvalidParameterValue", "RequestThrottled", "Throttling", "ThrottlingException"],
    "states": JSON_ERRORS,
}
RETRYABLE = re.compile("Throttl|ProvisionedThroughputExceeded|RequestLimitExceeded|TransactionConflict")
# The codes of an action in a cancelled transaction (TransactionCanceledException), besides a failed condition and none.
REASONS = [
    "ItemCollectionSizeLimitExceeded",
    "TransactionConflict",
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
    "ValidationError",
]


@dataclass(frozen=True)
class Case:
    """A template and its input. The template of an answer can override its ``status``, and add ``headers``."""

    route: openapi.Route
    template: str
    body: str = ""
    parameters: dict[str, dict[str, str]] = field(default_factory=lambda: {"path": {}, "querystring": {}, "header": {}})
    student_id: str = "student"
    groups: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    is_json: bool = True
    is_retryable: bool = False

    def read(self, text: str) -> Any:
        """The meaning of the rendered text, without spaces and the forms of escapes."""
        if self.is_json:
            document = json.loads(text)
            return document | {"input": json.loads(document["input"])} if "input" in document else document
        if not text:
            return ""
        form = parse_qs(text, strict_parsing=True, errors="strict")
        return form | {"MessageBody": [json.loads(message) for message in form["MessageBody"]]}

    @property
    def context(self) -> dict[str, Any]:
        claims = {"custom:student_id": self.student_id, "email": f"{self.student_id}@school.example"}
        # A token without groups lacks the claim.
        claims |= {"cognito:groups": self.groups} if self.groups else {}
        return {
            "requestId": "request",
            "stage": "prod",
            "path": f"/prod{self.route.path()}",
            "resourcePath": self.route.template,
            "requestTime": "06/May/2030:09:00:00 +0000",
            "requestTimeEpoch": 1_904_288_400_000,
            "authorizer": {"claims": claims},
        }


def _text(route: openapi.Route, template: Any) -> str:
    """The template as CloudFormation passes it on."""
    if isinstance(template, dict):
        parameters = getattr(route.facts, "PARAMETERS", {})
        names = r"\$\{([A-Za-z.:]+)\}"
        template = re.sub(names, lambda name: str(parameters.get(name[1], name[1])), template["Fn::Sub"])
    return template


def _groups(route: openapi.Route) -> str | None:
    """Those of a caller who may use the route; of one who is in no group if any student may."""
    return "chess,staff" if route.is_for_staff else None


def _requests(route: openapi.Route, template: str, is_json: bool) -> Iterator[Case]:
    fields, good, values = route.fields, route.facts.GOOD, [*VALUES, *route.facts.VALUES]
    places = {"path": "path", "query": "querystring"}
    names = [(places[one["in"]], one["name"]) for one in route.operation.get("parameters", [])]
    # Each value everywhere, and each one alone among good ones.
    for value, bad in itertools.product(values, [None, *fields, *(name for _, name in names)]):
        parameters: dict[str, dict[str, str]] = {"path": {}, "querystring": {}, "header": {}}
        for place, name in names:
            parameters[place][name] = value if bad in (None, name) else good[name]
        body = {name: value if bad in (None, name) else good[name] for name in fields}
        yield Case(
            route,
            template,
            json.dumps(body, ensure_ascii=False) if fields else "",
            parameters,
            student_id=value if bad is None else "student",
            groups=_groups(route),
            is_json=is_json,
        )
    parameters = {place: {name: good[name] for at, name in names if at == place} for place in ("path", "header")}
    body = json.dumps(route.body())
    for groups in (_groups(route), None, "chess", "[chess staff]"):
        yield Case(route, template, body, parameters | {"querystring": {}}, groups=groups, is_json=is_json)


def _successes(route: openapi.Route, service: str, action: str) -> Iterator[str]:
    values = [*VALUES, *route.facts.VALUES]
    if action == "StartExecution":
        yield json.dumps({"executionArn": "arn:aws:states:::execution:workflow:student", "startDate": 1.9e9})
        return
    if service == "states":
        for status, body in itertools.chain.from_iterable(route.facts.outputs(route, value) for value in values):
            output = json.dumps({"statusCode": status, "body": json.dumps(body, ensure_ascii=False)})
            yield json.dumps({"status": "SUCCEEDED", "output": output})
        yield json.dumps({"status": "TIMED_OUT"})
        yield json.dumps({"status": "FAILED", "error": "States.TaskFailed", "cause": 'because of "it"'})
        return
    if service == "sqs":
        yield json.dumps({"SendMessageResponse": {"SendMessageResult": {"MessageId": "message"}}})
        return
    # A key is never empty.
    numbers = getattr(route.facts, "NUMBERS", set())
    items = [
        {name: {"N": "30"} if name in numbers else {"S": value} for name in route.facts.ATTRIBUTES}
        for value in values
        if value
    ]
    items += [{name: value for name, value in items[0].items() if name not in route.facts.OPTIONAL}]
    if action == "Query":
        yield json.dumps({"Count": 0, "Items": []})
        yield json.dumps({"Items": items})
        for item in items:
            yield json.dumps({"Items": [item, item], "LastEvaluatedKey": item}, ensure_ascii=False)
    elif action == "TransactGetItems":
        own = [item | {"student_id": {"S": "student"}} for item in items]
        pairs = [(item, item) for item in (*items, *own)] + [(own[0], None), (None, own[0]), (None, None)]
        for pair in pairs:
            yield json.dumps({"Responses": [{"Item": item} if item else {} for item in pair]}, ensure_ascii=False)
    else:
        yield from (json.dumps({"Item": item, "Attributes": item}, ensure_ascii=False) for item in items)
    if action in ("DeleteItem", "GetItem", "TransactWriteItems"):
        yield "{}"


def _errors(service: str, action: str) -> Iterator[tuple[str, bool]]:
    """Answers with a status of 4xx, and whether the same request may succeed later."""
    model = botocore.session.get_session().get_service_model({"states": "stepfunctions"}.get(service, service))
    shapes = model.operation_model("SendMessage" if service == "sqs" else action).error_shapes
    names = {shape.name for shape in shapes} | {shape.error_code for shape in shapes if shape.error_code}
    for name in sorted(names | {*ERRORS[service]}):
        is_retryable = bool(RETRYABLE.search(name))
        if service == "sqs":
            error = {"Code": name, "Message": "It can't.", "Type": "Sender"}
            yield json.dumps({"Error": error, "RequestId": "r"}), is_retryable
        else:
            for namespace in ("", "com.amazon.coral.service#"):
                yield json.dumps({"__type": f"{namespace}{name}", "message": "It can't."}), is_retryable
    yield "{}", False


def _cancellations(route: openapi.Route) -> Iterator[tuple[str, bool]]:
    """Answers of a cancelled transaction, and whether the same request may succeed later."""
    item = {name: {"S": str(value)} for name, value in route.facts.GOOD.items()} | {"starts": {"N": "1904288400"}}
    free = {name: value for name, value in item.items() if name != "student_id"}
    month = {"student_id": {"S": "student"}, "month": {"S": "2030-05"}, "booked": {"SS": ["2030-05-06T09:00:00Z"]}}
    full = month | {"booked": {"SS": ["2030-05-06T09:00:00Z", "2030-05-07T09:00:00Z"]}}
    failed = [
        {"Code": "ConditionalCheckFailed"} | ({"Item": found} if found else {})
        for found in (None, item, item | {"student_id": {"S": "another"}}, free, month, full)
    ]
    none = {"Code": "None"}
    cancelled = [[*each] for each in itertools.product([none, *failed[:4]], [none, *failed[:3]], [none, *failed[4:]])]
    for code, place, others in itertools.product(REASONS, range(3), ([none] * 3, [failed[1], failed[1], failed[4]])):
        cancelled.append([{"Code": code} if at == place else other for at, other in enumerate(others)])
    for each in cancelled:
        codes = {reason["Code"] for reason in each}
        is_retryable = "ConditionalCheckFailed" not in codes and any(map(RETRYABLE.search, codes))
        answer = {
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons": each,
        }
        yield json.dumps(answer), is_retryable


def _responses(route: openapi.Route, integration: dict[str, Any], service: str, action: str) -> Iterator[Case]:
    for pattern, response in integration["responses"].items():
        if pattern == "default":
            answers = [("", True), ("<html>", True), ('{"__type": "InternalServerError"}', True)]
        elif pattern.startswith("4"):
            answers = [*_errors(service, action), *(_cancellations(route) if action.startswith("Transact") else [])]
        else:
            answers = [(body, False) for body in _successes(route, service, action)]
        headers = {
            name.removeprefix("method.response.header."): value.strip("'")
            for name, value in response["responseParameters"].items()
        }
        for template, (body, is_retryable) in itertools.product(response["responseTemplates"].values(), answers):
            yield Case(
                route,
                _text(route, template),
                body,
                status=int(response["statusCode"]),
                headers=headers,
                groups=_groups(route),
                is_json=template != "",
                is_retryable=is_retryable,
            )


def _cases() -> Iterator[Case]:
    for route in openapi.ROUTES:
        integration = route.operation["x-amazon-apigateway-integration"]
        if integration["type"] == "mock":
            yield from (Case(route, _text(route, template)) for template in integration["requestTemplates"].values())
            continue
        service, action = re.search(r"}:(\w+):(?:action|path)/(.+)", integration["uri"]["Fn::Sub"]).groups()
        for template in integration["requestTemplates"].values():
            yield from _requests(route, _text(route, template), is_json=service != "sqs")
        yield from _responses(route, integration, service, action)


@functools.cache
def rendered() -> list[tuple[Case, dict[str, Any]]]:
    """Each case with Velocity's results, once with an empty string and once with null for a missing value.

    AWS doesn't say which of them ``$input.path`` and ``$input.params`` give.
    """
    cases = list(_cases())
    inputs = [
        {
            "template": case.template,
            "body": case.body,
            "parameters": case.parameters,
            "context": case.context,
            "stage_variables": {},
            "missing": missing,
        }
        for case in cases
        for missing in ("", None)
    ]
    doubled = [case for case in cases for _ in range(2)]
    return list(zip(doubled, apache_velocity.render(inputs), strict=True))
