"""Booking, listing and cancelling over HTTP."""

import functools
import operator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from booking import book, cancel, list_appointments
from openapi import assert_error
from stack import Stack, Student

SLOT = "2030-05-06T09:00:00Z"

HOSTILE_TEXTS = [
    "\"quotes\" and 'apostrophes'",
    "back\\slash \\\" \\' \\\\' \\u0041 \\n",
    "".join(chr(code) for code in range(1, 32)) + "\x7f",
    "nul \x00 inside",
    "$input.body $context.authorizer.claims.sub ${AppointmentsTable} $!{x} $util.escapeJavaScript($y)",
    "#set($x = 1) #if(true) #end ## comment #* block *# #foreach($a in $b)",
    "😀 \U0001d4b3 \U0010ffff é \u2028\u2029 \ufeff",
    '"}, "student_id": {"S": "someone-else"}, "x": {"S": "',
    '{"S": "someone-else"}',
    '", "ConditionExpression": "attribute_exists(advisor_id)", "x": "',
    "</script><script>alert(1)</script>",
    "' OR '1'='1",
    "%22%7D %00 %s",
    "x" * 500,
]

REFUSED_BODIES = [
    "",
    "{",
    "null",
    "[]",
    '"text"',
    "{}",
    '{"advisor_id": "ada"}',
    '{"advisor_id": "ada", "starts_at": null}',
    '{"advisor_id": 1, "starts_at": "2030-05-06T09:00:00Z"}',
    '{"advisor_id": {"S": "ada"}, "starts_at": {"S": "2030-05-06T09:00:00Z"}}',
    '{"advisor_id": "", "starts_at": "2030-05-06T09:00:00Z"}',
    '{"advisor_id": "a\\"b", "starts_at": "2030-05-06T09:00:00Z"}',
    '{"advisor_id": "ada\\n", "starts_at": "2030-05-06T09:00:00Z"}',
    '{"advisor_id": "' + "a" * 65 + '", "starts_at": "2030-05-06T09:00:00Z"}',
    '{"advisor_id": "ada", "starts_at": "2030-02-29T09:00:00Z"}',
    '{"advisor_id": "ada", "starts_at": "2030-04-31T09:00:00Z"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T24:00:00Z"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00+02:00"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06 09:00"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z\\n"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z", "topic": ""}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z", "topic": "' + "x" * 501 + '"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z", "topic": {"S": "x"}}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z", "topic": "half a pair \\ud83d"}',
    '{"advisor_id": "ada", "starts_at": "2030-05-06T09:00:00Z", "student_id": "someone-else"}',
]


def listed(student: Student, **parameters: Any) -> list[dict[str, str]]:
    answer = list_appointments(student, **parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["appointments"]


def of(advisor: str, appointments: list[dict[str, str]]) -> list[dict[str, str]]:
    return [appointment for appointment in appointments if appointment["advisor_id"] == advisor]


def test_a_booked_slot_is_answered_with_and_listed(student: Student, advisor: str) -> None:
    answer = book(student, advisor_id=advisor, starts_at=SLOT, topic="Thesis")
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"advisor_id": advisor, "starts_at": SLOT, "topic": "Thesis"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"].split(",")
    assert of(advisor, listed(student, limit=100)) == [answer.json()]
    booked = urljoin(answer.url, answer.headers["Location"])
    headers = {"Authorization": student.token}
    assert requests.delete(booked, headers=headers, timeout=30).status_code == 204
    assert of(advisor, listed(student, limit=100)) == []


def test_a_slot_is_booked_once(student: Student, other_student: Student, advisor: str) -> None:
    assert book(student, advisor_id=advisor, starts_at=SLOT, topic="first").status_code == 201
    assert_error(book(other_student, advisor_id=advisor, starts_at=SLOT), 409, "SLOT_TAKEN")
    assert_error(book(student, advisor_id=advisor, starts_at=SLOT, topic="again"), 409, "SLOT_TAKEN")
    assert of(advisor, listed(student, limit=100)) == [{"advisor_id": advisor, "starts_at": SLOT, "topic": "first"}]
    assert of(advisor, listed(other_student, limit=100)) == []


def test_of_fifty_bookings_of_one_slot_exactly_one_wins(student: Student, other_student: Student, advisor: str) -> None:
    students = [student, other_student] * 25
    with ThreadPoolExecutor(len(students)) as pool:
        answers = list(pool.map(lambda student: book(student, advisor_id=advisor, starts_at=SLOT), students))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49


def test_a_list_is_paged_in_order_and_has_only_the_callers_own(stack: Stack, advisor: str) -> None:
    student, other = (stack.create_student(f"{name}-{advisor}@school.example") for name in ("alan", "mary"))
    slots = [f"2030-05-06T09:{minute:02}:00Z" for minute in range(7)]
    for slot in slots:
        assert book(student, advisor_id=advisor, starts_at=slot).status_code == 201
    assert book(other, advisor_id=f"{advisor}x", starts_at=slots[3]).status_code == 201

    pages, parameters = [], {"limit": 3}
    while True:
        page = list_appointments(student, **parameters).json()
        pages.append([appointment["starts_at"] for appointment in page["appointments"]])
        if "next" not in page:
            break
        parameters["after"] = page["next"]
    assert [len(page) for page in pages] in ([3, 3, 1], [3, 3, 1, 0])
    assert functools.reduce(operator.iadd, pages, []) == slots


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e2", "x", '1, "IndexName": "x"', " 1", "1\n", "٣"])
def test_a_limit_that_is_no_limit_is_refused(student: Student, limit: str) -> None:
    assert_error(list_appointments(student, limit=limit), 400, "BAD_REQUEST")


@pytest.mark.parametrize("after", ["x", "~", "~~", "~ada", f"{SLOT}", f"{SLOT}~", f"ada~{SLOT}", "null", "%zz", "{}"])
def test_a_position_that_no_page_gave_is_refused(student: Student, after: str) -> None:
    assert_error(list_appointments(student, after=after), 400, "BAD_REQUEST")


def test_only_ones_own_appointment_can_be_cancelled(student: Student, other_student: Student, advisor: str) -> None:
    assert book(student, advisor_id=advisor, starts_at=SLOT).status_code == 201
    assert_error(cancel(other_student, advisor, SLOT), 404, "NOT_FOUND")
    assert len(of(advisor, listed(student, limit=100))) == 1
    cancelled = cancel(student, advisor, SLOT)
    assert (cancelled.status_code, cancelled.text) == (204, "")
    assert_error(cancel(student, advisor, SLOT), 404, "NOT_FOUND")
    assert book(other_student, advisor_id=advisor, starts_at=SLOT).status_code == 201


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_any_text_comes_back_as_it_went_in(student: Student, advisor: str, text: str) -> None:
    answer = book(student, advisor_id=advisor, starts_at=SLOT, topic=text)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"advisor_id": advisor, "starts_at": SLOT, "topic": text}
    assert of(advisor, listed(student, limit=100)) == [answer.json()]


@pytest.mark.parametrize("body", REFUSED_BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(student: Student, body: str) -> None:
    before = listed(student, limit=100)
    answer = student.request(
        "POST", "/appointments", "appointments", data=body, headers={"Content-Type": "application/json"}
    )
    assert_error(answer, 400, "BAD_REQUEST_BODY")
    assert listed(student, limit=100) == before


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS if len(text) < 100])
def test_a_hostile_path_names_no_appointment(student: Student, advisor: str, text: str) -> None:
    assert cancel(student, text, SLOT).status_code in (400, 404)
    assert cancel(student, advisor, text).status_code in (400, 404)


@pytest.mark.parametrize("undecodable", ["%", "%zz", "a%2", "%-1", "%%30"])
def test_a_path_that_can_not_be_decoded_is_refused(
    stack: Stack, student: Student, advisor: str, undecodable: str
) -> None:
    url = stack.api_url("appointments")
    for path in (f"/appointments/{undecodable}/{SLOT}", f"/appointments/{advisor}/{undecodable}"):
        # The path is sent unchanged: the client would encode the percent sign.
        request = requests.Request("DELETE", url, headers={"Authorization": student.token}).prepare()
        request.url = f"{url}{path}"
        with requests.Session() as session:
            assert_error(session.send(request, timeout=30), 400, "BAD_REQUEST")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_hostile_position_shows_nobody_elses(
    student: Student, other_student: Student, advisor: str, text: str
) -> None:
    assert book(other_student, advisor_id=advisor, starts_at=SLOT).status_code == 201
    for after in (text, f"{text}~ada", f"{SLOT}~{text}", "~", "~~"):
        answer = list_appointments(student, after=after, limit=100)
        assert answer.status_code in (200, 400), answer.text
        assert advisor not in answer.text
