"""Apache Velocity, the engine behind API Gateway, renders each mapping template, whatever the template is given."""

import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import mapping_cases
import openapi
import pytest
from jsonschema import Draft4Validator

STAGE = "https://id.execute-api.eu-central-1.amazonaws.com/prod"


@pytest.fixture(scope="module")
def answers() -> list[tuple[mapping_cases.Case, dict[str, Any], int, dict[str, str]]]:
    """Each answer to a client, with its status and its headers."""
    return [
        (case, result, result.get("status") or case.status, case.headers | result.get("headers", {}))
        for case, result in mapping_cases.rendered()
        if case.status
    ]


def test_each_template_is_rendered_whatever_it_is_given() -> None:
    failures = {
        (str(case.route), case.status, case.template, result["error"])
        for case, result in mapping_cases.rendered()
        if "error" in result
    }
    assert not failures


def test_a_body_is_passed_on_as_json_whatever_is_in_it() -> None:
    passed_on = set()
    for case, result in mapping_cases.rendered():
        document = case.read(result["text"])
        if case.route.template in ("/accounts", "/account-requests") and case.body and not case.status:
            passed_on.add(case.route.template)
            assert json.loads(case.body) == document.get("input", document.get("MessageBody", [None])[0])
    assert passed_on == {"/accounts", "/account-requests"}


def test_each_answer_is_a_documented_one(answers: list[Any]) -> None:
    schemas = openapi.DOCUMENT["components"]["schemas"]
    for case, result, status, headers in answers:
        documented = case.route.operation["responses"][str(status)]
        assert headers.keys() <= documented["headers"].keys()
        if "content" in documented:
            schema = documented["content"]["application/json"]["schema"] | {"components": {"schemas": schemas}}
            Draft4Validator(schema).validate(json.loads(result["text"]))


def test_what_may_succeed_later_is_answered_with_503_and_when_to_come_again(answers: list[Any]) -> None:
    for case, result, status, headers in answers:
        if case.is_retryable:
            assert status == 503, (str(case.route), case.body)
        is_told_to = case.is_json and json.loads(result["text"]).get("code") == "TRY_AGAIN"
        assert is_told_to == ("Retry-After" in headers) == (status in (503, 504)), (str(case.route), case.body)


def test_a_body_that_a_service_does_not_take_is_the_callers_fault(answers: list[Any]) -> None:
    """API Gateway may let through more than the model says: "additionalProperties [is] not supported in Models"."""
    errors = {"InvalidExecutionInput", "InvalidMessageContents", "InvalidParameterValue", "ValidationException"}
    for case, _, status, _ in answers:
        if case.route.has_body and any(f'{error}"' in case.body for error in errors):
            assert status == 400, (str(case.route), case.body)


def test_each_location_leads_to_a_route(answers: list[Any]) -> None:
    """ "When it has the form of a relative reference [...], the final value is computed by resolving it against the
    target URI" (RFC 9110, Location)."""
    routes = {re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route.template)): route.template for route in openapi.ROUTES}
    found = set()
    for case, _, _, headers in answers:
        if "Location" in headers:
            path = urlsplit(urljoin(f"{STAGE}{case.route.template}", headers["Location"])).path
            [route] = [route for pattern, route in routes.items() if re.fullmatch(f"/prod{pattern}", path)]
            found.add(route)
    assert found == {"/accounts/me", "/appointments/{advisor_id}/{starts_at}"}
