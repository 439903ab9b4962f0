"""Every route gives a documented answer to any input, and never an internal error."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import openapi
import pytest
import requests
import schemathesis
from hostile import EXAMPLES, JSON, TEXT, as_json, hostile, nearly
from hypothesis import given
from hypothesis import strategies as st
from rooms import Room
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks as openapi_checks
from stack import Stack, Student

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.status_code_conformance,
]

GOOD = [route.body() for route in openapi.ROUTES if route.has_body]
QUERY_PARAMETERS = {
    one["name"] for route in openapi.ROUTES for one in route.operation.get("parameters", []) if one["in"] == "query"
}
# Includes a method that no route has.
QUERY_NAMES = st.sampled_from(["sort", *sorted(QUERY_PARAMETERS)]) | TEXT

BODIES = st.one_of(
    st.binary(max_size=200),
    st.one_of(JSON, *map(nearly, GOOD)).map(as_json),
    st.sampled_from(
        [b"[" * 10_000, b'{"a":' * 500, b"1e999", b"NaN", b'{"a":1,"a":2}', b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}"]
        + [json.dumps(good).encode(encoding) for good in GOOD for encoding in ("utf-8-sig", "utf-16")]
    ),
)
MEDIA_TYPES = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-16",
        "text/plain",
        "application/xml",
        "multipart/form-data",
        ",;",
        "",
    ]
)
# Characters that an HTTP client lets through.
HEADER = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=200)


def answers_as_documented(room: Room) -> Callable[..., None]:
    """A test that a route of a room's API gives documented answers to inputs that fit its schema, or nearly do."""
    schema = schemathesis.openapi.from_dict(
        # CloudFormation joins the title from parts.
        room.api | {"info": {"title": room.name, "version": "1"}},
        config=SchemathesisConfig.from_dict(
            {
                # tests/test_authorization.py tests other tokens.
                "generation": {"with-security-parameters": False},
                # Hundreds of requests, each at a limit of the schema.
                "phases": {"coverage": {"enabled": bool(EXAMPLES)}},
            }
        ),
    )

    @schema.parametrize()
    @hostile
    def test(case: schemathesis.Case, stack: Stack, student: Student) -> None:
        headers = {"Authorization": student.token}
        case.call_and_validate(base_url=stack.api_url(room.name), headers=headers, checks=CHECKS, timeout=40)

    return test


for api in openapi.APIS:
    globals()[f"test_a_route_on_{api}_answers_its_schema_as_documented"] = answers_as_documented(api)


@pytest.mark.parametrize("route", openapi.ROUTES, ids=str)
@given(
    path=TEXT,
    query=st.dictionaries(QUERY_NAMES, TEXT | st.lists(TEXT, max_size=3), max_size=4),
    headers=st.dictionaries(st.sampled_from(["Accept", "X-HTTP-Method-Override", "Origin", "Cookie"]), HEADER),
    media_type=MEDIA_TYPES,
    body=BODIES,
)
@hostile
def test_a_route_answers_anything_as_documented(
    stack: Stack,
    student: Student,
    route: openapi.Route,
    path: str,
    query: dict[str, Any],
    headers: dict[str, str],
    media_type: str,
    body: bytes,
) -> None:
    place = quote(path[:500].encode("utf-8", "surrogatepass"), safe="")
    url = f"{stack.api_url(route.room.name)}{re.sub(r'{[^}]*}', lambda _: place, route.template)}"
    query = {name.encode("utf-8", "replace"): value for name, value in query.items()}
    answer = requests.request(
        route.method,
        url,
        params={name[:500]: json.dumps(value)[:500] for name, value in query.items()},
        headers={name: value.encode("latin-1") for name, value in headers.items()}
        | {"Authorization": student.token, "Content-Type": media_type},
        data=body,
        timeout=40,
    )
    # 404: a path with an empty parameter, or with dots, is another route.
    assert answer.status_code in {*route.statuses, 404, 415}, answer.text
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert {"code", "message", "request_id"} <= answer.json().keys()
