"""Who reads the material with the function at the edge, which decides by the student's token."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import browsers
import materials
import pytest
from browsers import expect_view, press, quiet_page, visit
from deployed_content import Content, Origin, clock_ahead, id_of, material
from faults import denied
from library_pages import NOTES, enter, expect_list, expect_notes, expect_notice, new_reader
from stack import Stack, Student

pytestmark = pytest.mark.usefixtures("local_cloud")
ALL_VIEWER_EXCEPT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
BODY = b"Only for students who have paid."


@pytest.fixture(scope="module")
def edge(content: Content, stack: Stack) -> Iterator[Content]:
    """The library with `Access=edge`, and a user pool that calls add-entitlement-claim."""
    import beside

    cognito, pool = stack.client("cognito-idp"), stack.outputs["UserPoolId"]
    functions = content.stack.client("lambda")
    trigger = functions.get_function(FunctionName=f"{stack.name}-add-entitlement-claim")["Configuration"]["FunctionArn"]
    # On AWS, the root's PreTokenGenerationFunctionArn does this.
    cognito.update_user_pool(UserPoolId=pool, LambdaConfig={"PreTokenGeneration": trigger})
    beside.deploy("content", stack.name, "local", Access="edge")
    content.put("/members/lecture.txt", BODY)
    yield content
    cognito.update_user_pool(UserPoolId=pool, LambdaConfig={})
    # A parameter that is left out keeps its value.
    beside.deploy("content", stack.name, "local", Access="cookies")


@pytest.fixture
def newcomer(stack: Stack) -> tuple[str, Student]:
    """The address and the token of a student who has never paid."""
    email = f"{uuid.uuid4()}@school.example"
    return email, stack.create_student(email)


def read(edge: Content, student: Student | None, method: str = "GET", **headers: str) -> Any:
    token = {"Authorization": f"Bearer {student.token}"} if student else {}
    return edge.get("/members/lecture.txt", method, headers=token | headers)


def test_who_has_paid_reads_after_signing_in(edge: Content, stack: Stack, newcomer: tuple[str, Student]) -> None:
    email, student = newcomer
    assert read(edge, None).status_code == 401
    assert read(edge, student).status_code == 403
    edge.pay(id_of(student))
    paid = stack.sign_in(email)
    answers = [read(edge, paid), read(edge, paid)]
    assert [answer.content for answer in answers] == [BODY, BODY]
    # With a warm cache, too, the others are refused.
    assert answers[1].headers["X-Cache"] == "Hit from cloudfront"
    for method, headers in [("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=5-7"})]:
        assert read(edge, None, method, **headers).status_code == 401
        assert read(edge, student, method, **headers).status_code == 403


def test_a_session_is_the_token_in_a_cookie_that_no_script_reads(
    edge: Content, stack: Stack, newcomer: tuple[str, Student]
) -> None:
    email, student = newcomer
    edge.pay(id_of(student))
    paid = stack.sign_in(email)
    answer = edge.open_session(paid)
    [line] = answer.raw.headers.getlist("Set-Cookie")
    assert line.startswith(f"id_token={paid.token}; ")
    assert {"Path=/members/", "Secure", "HttpOnly", "SameSite=Lax"} < set(line.split("; "))
    assert edge.get("/members/lecture.txt", cookies={"id_token": paid.token}).content == BODY


def test_who_cancels_is_refused_when_the_token_ends(edge: Content, stack: Stack, newcomer: tuple[str, Student]) -> None:
    email, student = newcomer
    edge.pay(id_of(student))
    paid = stack.sign_in(email)
    edge.lapse(id_of(student))
    with clock_ahead(edge, timedelta(minutes=59)):
        assert read(edge, paid).status_code == 200
    with clock_ahead(edge, timedelta(minutes=61)):
        assert read(edge, paid).status_code == 401
    assert read(edge, stack.sign_in(email)).status_code == 403


def test_a_payment_ends_at_its_own_time(edge: Content, stack: Stack, newcomer: tuple[str, Student]) -> None:
    email, student = newcomer
    edge.pay(id_of(student), datetime.now(timezone.utc) + timedelta(minutes=30))
    paid = stack.sign_in(email)
    assert read(edge, paid).status_code == 200
    with clock_ahead(edge, timedelta(minutes=31)):
        assert read(edge, paid).status_code == 403


def test_students_sign_in_while_the_table_cannot_be_read(
    edge: Content, stack: Stack, newcomer: tuple[str, Student]
) -> None:
    email, student = newcomer
    edge.pay(id_of(student))
    with denied(stack, "add-entitlement-claim", "dynamodb:GetItem"):
        # Without the claim, the student is signed in, and has to sign in again for the material.
        assert read(edge, stack.sign_in(email)).status_code == 403
    assert read(edge, stack.sign_in(email)).status_code == 200


def test_a_check_behind_the_cache_would_give_everyone_what_one_has_read(
    edge: Content, stack: Stack, newcomer: tuple[str, Student]
) -> None:
    email, student = newcomer
    edge.pay(id_of(student))
    paid = stack.sign_in(email)

    def move(config: dict[str, Any]) -> None:
        origin.serve(config)
        [association] = material(config)["LambdaFunctionAssociations"]["Items"]
        association["EventType"] = "origin-request"
        # Without it, the function would not see the token.
        material(config)["OriginRequestPolicyId"] = ALL_VIEWER_EXCEPT_HOST

    with Origin(BODY) as origin:
        host = edge.copied(move)
        assert read(edge, None, **host).status_code == 401
        assert read(edge, paid, **host).content == BODY
        # This is what the other tests would find.
        assert read(edge, None, **host).content == BODY


def test_the_library_asks_for_a_token_that_is_newer_than_the_payment(edge: Content, stack: Stack) -> None:
    materials.upload(edge.stack, materials.EXAMPLE)
    reader = new_reader(stack)
    with browsers.running("chromium") as browser, visit(browser, edge.url) as context, quiet_page(context) as page:
        page.goto(NOTES)
        enter(page, reader)
        expect_view(page, "Pay the course fee")
        edge.pay(reader.student_id)
        press(page, "I have paid: check again")
        expect_notice(page, "You have to sign in again.")
        enter(page, reader)
        expect_notes(page)
        assert [cookie["name"] for cookie in context.cookies()] == ["id_token"]
        page.goto("/")
        expect_list(page)
        press(page, "Sign out")
        expect_notice(page, "You have signed out.")
        assert context.cookies() == []
