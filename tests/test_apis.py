"""The promises of every API, for each of its routes."""

import json
from typing import Any

import openapi
import pytest
import requests
from openapi import assert_error
from rooms import Room
from stack import Stack, Student

WITH_BODIES = [route for route in openapi.ROUTES if route.has_body]
READING = [route for route in openapi.ROUTES if route.method == "GET"]


def send(student: Student, route: openapi.Route, **arguments: Any) -> requests.Response:
    return student.request(route.method, route.path(), route.room.name, **arguments)


@pytest.mark.parametrize("room", openapi.APIS, ids=str)
def test_an_unknown_route_is_not_found(student: Student, room: Room) -> None:
    assert_error(student.request("GET", "/grades", room.name), 404, "NOT_FOUND")


@pytest.mark.parametrize("route", openapi.ROUTES, ids=str)
def test_a_browser_may_call_every_route(stack: Stack, route: openapi.Route) -> None:
    answer = requests.options(f"{stack.api_url(route.room.name)}{route.path()}", timeout=30)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert route.method in [*answer.headers["Access-Control-Allow-Methods"].split(","), "OPTIONS"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"].split(",")


@pytest.mark.parametrize("route", [one for one in openapi.ROUTES if one.method != "OPTIONS"], ids=str)
def test_an_answer_is_stored_nowhere_and_a_page_may_read_its_headers(student: Student, route: openapi.Route) -> None:
    answer = send(student, route, json={})
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Expose-Headers"] == "Location,Retry-After"


@pytest.mark.parametrize("route", WITH_BODIES, ids=str)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_body_that_is_not_plain_utf_8_is_refused(
    student: Student, local_cloud: None, route: openapi.Route, encoding: str
) -> None:
    """AWS does not document whether API Gateway reads such a body; no template passes on an unreadable one."""
    body, headers = json.dumps(route.body()).encode(encoding), {"Content-Type": "application/json"}
    assert_error(send(student, route, data=body, headers=headers), 400, "BAD_REQUEST_BODY")


@pytest.mark.parametrize("route", WITH_BODIES, ids=str)
def test_a_body_that_says_it_is_not_json_is_refused(student: Student, route: openapi.Route) -> None:
    body, headers = json.dumps(route.body()), {"Content-Type": "text/plain"}
    assert_error(send(student, route, data=body, headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("route", READING, ids=str)
def test_a_throttled_caller_is_told_when_to_try_again(
    stack: Stack, local_cloud: None, student: Student, route: openapi.Route
) -> None:
    gateway, setting = stack.client("apigateway"), f"{route.template.replace('/', '~1')}/{route.method}"
    api, stage = openapi.deployed(stack, route.room)
    limits = [f"/{setting}/throttling/{name}" for name in ("rateLimit", "burstLimit")]
    none = [{"op": "replace", "path": path, "value": "0"} for path in limits]
    gateway.update_stage(restApiId=api, stageName=stage, patchOperations=none)
    try:
        answer = send(student, route)
    finally:
        gateway.update_stage(restApiId=api, stageName=stage, patchOperations=[{"op": "remove", "path": f"/{setting}"}])
    assert_error(answer, 429, "THROTTLED")
    assert answer.headers["Retry-After"] == "5"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"].split(",")
    assert send(student, route).status_code in (200, 403, 404)
