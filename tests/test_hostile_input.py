"""Whatever is sent to an entrance, the answer is one that is promised, and never a failure of ours.

`make test` sends a few dozen inputs to each, always the same; `make hostile` sends others, for longer.
"""

import json
import os
import uuid
from typing import Any
from urllib.parse import quote

import boto3
import openapi
import pytest
import requests
import schemathesis
from botocore.config import Config
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks as openapi_checks
from stack import Stack, Student, wait_until
from test_imports import Imports

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))

hostile = settings(
    max_examples=EXAMPLES or 10,
    database=None,
    deadline=None,
    derandomize=not EXAMPLES,
    # A shorter input that fails would cost minutes to find.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

SCHEMA = schemathesis.openapi.from_dict(
    # CloudFormation puts the title together.
    openapi.DOCUMENT | {"info": {"title": "Registrar", "version": "1"}},
    config=SchemathesisConfig.from_dict(
        {
            # The token is the test's matter: tests/test_authorization.py tries others.
            "generation": {"with-security-parameters": False},
            # Hundreds of requests, each at an edge of what a schema allows.
            "phases": {"coverage": {"enabled": bool(EXAMPLES)}},
        }
    ),
)

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.status_code_conformance,
]

# What breaks a template, a path, a query, a header, a log line or a spreadsheet.
SPECIAL = "\"\\'`${}#[]()<>%~/.,;:&?=+-@!^|* \t\r\n\0\x7f\x85\u2028\ud83d\U0001f600e\u0301\u202e\ufeff"
TEXT = st.text(max_size=50) | st.text(SPECIAL, max_size=50) | st.builds("x".__mul__, st.sampled_from([600, 20_000]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(TEXT, values, max_size=4),
    max_leaves=8,
)

ACCOUNT = {
    "email": "hostile@school.example",
    "given_name": "Ada",
    "family_name": "Lovelace",
    "date_of_birth": "2005-12-10",
    "programme": "mathematics",
}
BOOKING = {"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z", "topic": "Thesis"}


def nearly(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Good but for some fields, or with others besides."""
    return st.builds(good.__or__, st.dictionaries(st.sampled_from(sorted(good)) | TEXT, JSON, max_size=3))


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


BODIES = st.one_of(
    st.binary(max_size=200),
    (nearly(ACCOUNT) | nearly(BOOKING) | JSON).map(as_json),
    st.sampled_from(
        [b"[" * 10_000, b'{"topic":' * 500, b"1e999", b"NaN", b'{"a":1,"a":2}', b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}"]
        + [json.dumps(good).encode(encoding) for good in (ACCOUNT, BOOKING) for encoding in ("utf-8-sig", "utf-16")]
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
# What an HTTP client lets through.
HEADER = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=200)


@SCHEMA.parametrize()
@hostile
def test_a_route_answers_what_fits_its_schema_or_nearly_does_as_documented(
    case: schemathesis.Case, stack: Stack, student: Student
) -> None:
    case.call_and_validate(base_url=stack.api_url, headers={"Authorization": student.token}, checks=CHECKS, timeout=40)


@pytest.mark.parametrize("route", openapi.ROUTES, ids=str)
@given(
    path=TEXT,
    query=st.dictionaries(st.sampled_from(["limit", "after"]) | TEXT, TEXT | st.lists(TEXT, max_size=3), max_size=4),
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
    url = f"{stack.api_url}{route.template.replace('{advisor_id}', place).replace('{starts_at}', place)}"
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
    # 404: a path whose parameter is empty, or has dots, is another route.
    assert answer.status_code in {*route.statuses, 404, 415}, answer.text
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert {"code", "message", "request_id"} <= answer.json().keys()


@given(typed=nearly(ACCOUNT) | JSON)
@example(typed=[ACCOUNT])
@hostile
def test_the_account_workflow_answers_any_input(stack: Stack, local_cloud: None, typed: Any) -> None:
    # On AWS, a host of its own answers.
    states = boto3.client("stepfunctions", config=Config(inject_host_prefix=False))
    execution = states.start_sync_execution(stateMachineArn=stack.outputs["SchoolAccountArn"], input=json.dumps(typed))
    assert execution["status"] == "SUCCEEDED", execution
    answer = json.loads(execution["output"])
    assert answer["statusCode"] in {201, 409, 422, 503}
    assert json.loads(answer["body"])


def ended(stack: Stack, executions: list[str]) -> list[dict[str, Any]]:
    states = stack.client("stepfunctions")

    def all_ended() -> bool:
        return all(states.describe_execution(executionArn=arn)["status"] != "RUNNING" for arn in executions)

    wait_until(all_ended, "the executions have ended")
    return [states.describe_execution(executionArn=arn) for arn in executions]


NO_OBJECT: list[Any] = [None, 1, "x", [], {}]


@pytest.mark.parametrize(
    ("workflow", "inputs", "error"),
    [
        (
            "ImportAccounts",
            [
                *NO_OBJECT,
                {"detail": None},
                {"detail": {"object": []}},
                {"detail": {"object": {"key": "imports/a.csv", "etag": 1, "sequencer": "1"}}},
                [{"detail": {"object": {"key": "imports/a.csv", "etag": "e"}}}],
                {"detail": {"object": {"key": ["imports/a.csv", "imports/b.csv"], "etag": "e", "sequencer": "1"}}},
            ],
            "NotAnEvent",
        ),
        (
            "CheckFreshness",
            [*NO_OBJECT, {"give_up_after_seconds": None}, {"give_up_after_seconds": "5"}],
            "NotAnInput",
        ),
        (
            "ReconcileArchive",
            [
                {"grace_seconds": None},
                {"grace_seconds": "60"},
                {"grace_seconds": -1},
                {"grace_seconds": [60]},
                {"event_source": "aws:dynamodb"},
                {"event_source": None},
                {"event_source": {}},
            ],
            "NotAnInput",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_workflow_says_so_when_its_input_is_not_for_it(
    stack: Stack, workflow: str, inputs: list[Any], error: str
) -> None:
    states, arn = stack.client("stepfunctions"), stack.outputs[f"{workflow}Arn"]
    executions = [states.start_execution(stateMachineArn=arn, input=json.dumps(one))["executionArn"] for one in inputs]
    for execution in ended(stack, executions):
        assert (execution["status"], execution.get("error")) == ("FAILED", error), execution


def test_a_file_of_any_name_has_its_results(stack: Stack) -> None:
    """A registrar's file names, and those of somebody who may put files but means no good."""
    imports = Imports(stack)
    names = [
        "Étudiants 2026 (neu).csv",
        "a b+c%20d&e=f;g.CSV",
        "{% $states.context %}.csv",
        "' & $uuid() & '.csv",
        'quo"te\\back\\slash.csv',
        "../../work/claim.csv",
        "$1$&.csv",
        "\U0001f600.csv",
        "results.csv.csv",
        "no extension",
    ]
    puts = [imports.put(",".join(ACCOUNT), f"{uuid.uuid4()}/{name}") for name in names]
    wait_until(lambda: all(map(imports.results_keys, puts)), "each file has its results")
