"""Apache Velocity, the engine behind API Gateway, renders each mapping template, with any input."""

import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import mapping_cases
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
    """Requests to a workflow or to a queue; a table gets its fields one by one."""
    for case, result in mapping_cases.rendered():
        document = case.read(result["text"])
        if case.route.has_body and not case.status and document.keys() & {"input", "MessageBody"}:
            passed = document.get("input", document.get("MessageBody", [None])[0])
            # Beside the caller's id, which is not from the body.
            if "student_id" in passed:
                assert passed["student_id"] == case.student_id
                passed = passed["changes"]
            assert json.loads(case.body) == passed


def test_each_answer_is_a_documented_one(answers: list[Any]) -> None:
    for case, result, status, headers in answers:
        documented = case.route.operation["responses"][str(status)]
        assert headers.keys() <= documented["headers"].keys()
        if "content" in documented:
            schema = documented["content"]["application/json"]["schema"]
            schema = schema | {"components": {"schemas": case.route.schemas}}
            Draft4Validator(schema).validate(json.loads(result["text"]))


def test_what_may_succeed_later_is_answered_with_when_to_come_again(answers: list[Any]) -> None:
    """With 503, which raises an alarm, unless others were writing the same items."""
    for case, result, status, headers in answers:
        if case.is_retryable:
            assert status == (429 if "TransactionConflict" in case.body else 503), (str(case.route), case.body)
        is_told_to = case.is_json and json.loads(result["text"]).get("code") == "TRY_AGAIN"
        assert is_told_to == ("Retry-After" in headers) == (status in (429, 503, 504)), (str(case.route), case.body)


def test_a_body_that_a_service_does_not_take_is_the_callers_fault(answers: list[Any]) -> None:
    """API Gateway may let through more than the model says: "additionalProperties [is] not supported in Models"."""
    errors = {"InvalidExecutionInput", "InvalidMessageContents", "InvalidParameterValue", "ValidationException"}
    for case, _, status, _ in answers:
        if case.route.has_body and any(f'{error}"' in case.body for error in errors):
            assert status == 400, (str(case.route), case.body)


def test_each_location_leads_to_a_route(answers: list[Any]) -> None:
    """ "When it has the form of a relative reference [...], the final value is computed by resolving it against the
    target URI" (RFC 9110, Location)."""
    for case, _, _, headers in answers:
        if "Location" in headers:
            path = urlsplit(urljoin(f"{STAGE}{case.route.template}", headers["Location"])).path
            patterns = [re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) for path in case.route.room.api["paths"]]
            assert [pattern for pattern in patterns if re.fullmatch(f"/prod{pattern}", path)], headers["Location"]


def test_each_answer_that_is_documented_with_a_location_has_one(answers: list[Any]) -> None:
    for case, _, status, headers in answers:
        documented = case.route.operation["responses"][str(status)].get("headers", {})
        assert ("Location" in documented) == ("Location" in headers), (str(case.route), status)
