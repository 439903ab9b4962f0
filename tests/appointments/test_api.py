"""Texts, bodies, paths and pages of the API over HTTP; test_booking.py has the rules."""

import functools
import operator
from typing import Any

import pytest
import requests
from booking import (
    book,
    cancel,
    get_appointment,
    list_advisor_appointments,
    list_appointments,
    list_free_slots,
    offer,
)
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
    '{"topic": ""}',
    '{"topic": null}',
    '{"topic": "' + "x" * 501 + '"}',
    '{"topic": {"S": "x"}}',
    '{"topic": "half a pair \\ud83d"}',
    '{"student_id": "someone-else"}',
]


def listed(student: Student, **parameters: Any) -> list[dict[str, str]]:
    answer = list_appointments(student, **parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["appointments"]


def test_a_list_is_paged_in_order_and_has_only_the_callers_own(stack: Stack, staff: Student, advisor: str) -> None:
    student, other = (stack.create_student(f"{name}-{advisor}@school.example") for name in ("alan", "mary"))
    slots = [f"2030-05-06T09:{minute:02}:00Z" for minute in range(7)]
    for slot in slots:
        assert offer(staff, advisor, slot).status_code == 201
        assert book(student, advisor, slot).status_code == 201
    assert offer(staff, f"{advisor}x", slots[3]).status_code == 201
    assert book(other, f"{advisor}x", slots[3]).status_code == 201

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


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_any_text_comes_back_as_it_went_in(staff: Student, student: Student, slot: tuple[str, str], text: str) -> None:
    advisor, starts_at = slot
    booked = book(student, *slot, topic=text)
    assert booked.status_code == 201, booked.text
    appointment = {"advisor_id": advisor, "starts_at": starts_at, "topic": text}
    assert book(student, *slot).json() == appointment
    assert listed(student, limit=1, **{"from": starts_at}) == [appointment]
    [seen_by_staff] = list_advisor_appointments(staff, advisor).json()["appointments"]
    assert seen_by_staff["topic"] == text
    assert cancel(student, *slot).status_code == 204


@pytest.mark.parametrize("text", [text[:200] for text in HOSTILE_TEXTS])
def test_any_place_comes_back_as_it_went_in(staff: Student, student: Student, advisor: str, text: str) -> None:
    offered = offer(staff, advisor, SLOT, place=text)
    assert offered.status_code == 201, offered.text
    assert offered.json()["place"] == text
    [slot] = list_free_slots(student, advisor).json()["slots"]
    assert slot["place"] == text


@pytest.mark.parametrize("body", REFUSED_BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(student: Student, slot: tuple[str, str], body: str) -> None:
    path, headers = "/appointments/{}/{}".format(*slot), {"Content-Type": "application/json"}
    assert_error(student.request("PUT", path, "appointments", data=body, headers=headers), 400, "BAD_REQUEST_BODY")
    assert_error(get_appointment(student, *slot), 404, "NOT_FOUND")


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS if len(text) < 100])
def test_a_hostile_path_names_no_appointment(student: Student, advisor: str, text: str) -> None:
    for send in (book, get_appointment, cancel):
        assert send(student, text, SLOT).status_code in (400, 404)
        assert send(student, advisor, text).status_code in (400, 404)


@pytest.mark.parametrize("undecodable", ["%", "%zz", "a%2", "%-1", "%%30"])
def test_a_path_that_can_not_be_decoded_is_refused(
    stack: Stack, student: Student, advisor: str, undecodable: str
) -> None:
    url = stack.api_url("appointments")
    for path in (f"/appointments/{undecodable}/{SLOT}", f"/appointments/{advisor}/{undecodable}"):
        # The path is sent unchanged: the client would encode the percent sign.
        for method, body in (("DELETE", None), ("GET", None), ("PUT", {})):
            request = requests.Request(method, url, headers={"Authorization": student.token}, json=body).prepare()
            request.url = f"{url}{path}"
            with requests.Session() as session:
                assert_error(session.send(request, timeout=30), 400, "BAD_REQUEST")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_hostile_position_shows_nobody_elses(
    student: Student, other_student: Student, slot: tuple[str, str], text: str
) -> None:
    advisor, _ = slot
    assert book(other_student, *slot).status_code == 201
    for after in (text, f"{text}~ada", f"{SLOT}~{text}", "~", "~~"):
        answer = list_appointments(student, after=after, limit=100)
        assert answer.status_code in (200, 400), answer.text
        assert advisor not in answer.text
    assert cancel(other_student, *slot).status_code == 204
