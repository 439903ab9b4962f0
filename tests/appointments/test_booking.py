"""The rules of booking over HTTP, one by one and in races."""

import random
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
import requests
from agreement import assert_agreement
from booking import (
    SLOT,
    book,
    cancel,
    get_appointment,
    list_advisor_appointments,
    list_appointments,
    list_free_slots,
    offer,
    withdraw,
)
from openapi import assert_error
from stack import Stack, Student
from tokens import claims_of

MONTH = "2031-03"


@pytest.fixture(scope="module")
def students(stack: Stack) -> list[Student]:
    return [stack.create_student(f"racer-{number}-{uuid.uuid4()}@school.example") for number in range(100)]


@pytest.fixture
def newcomer(stack: Stack, advisor: str) -> Student:
    """A student without appointments."""
    return stack.create_student(f"{advisor}@school.example")


def id_of(student: Student) -> str:
    return claims_of(student.token)["custom:student_id"]


def free(student: Student, advisor: str, **parameters: Any) -> list[str]:
    answer = list_free_slots(student, advisor, **parameters)
    assert answer.status_code == 200, answer.text
    return [slot["starts_at"] for slot in answer.json()["slots"]]


def from_now(**difference: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(**difference)).strftime("%Y-%m-%dT%H:%M:00Z")


def answered(call: Callable[[], requests.Response]) -> requests.Response:
    """The answer, after the same request was sent again as often as the API asked for it."""
    while (answer := call()).status_code == 429:
        assert answer.json()["code"] == "TRY_AGAIN"
        assert answer.headers["Retry-After"] == "1"
    return answer


def race(calls: list[Callable[[], requests.Response]]) -> list[requests.Response]:
    """The answers of calls that are made at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(answered, calls))


def test_an_offered_slot_is_booked_and_is_the_resource_at_its_url(student: Student, slot: tuple[str, str]) -> None:
    advisor, starts_at = slot
    booked = book(student, *slot, topic="Thesis")
    assert booked.status_code == 201, booked.text
    assert booked.json() == {"advisor_id": advisor, "starts_at": starts_at}
    location = urljoin(booked.url, booked.headers["Location"])
    answer = requests.get(location, headers={"Authorization": student.token}, timeout=30)
    assert answer.json() == {"advisor_id": advisor, "starts_at": starts_at, "topic": "Thesis"} | SLOT
    assert free(student, advisor) == []
    assert cancel(student, *slot).status_code == 204
    assert free(student, advisor) == [starts_at]
    assert_error(get_appointment(student, *slot), 404, "NOT_FOUND")


def test_a_repeated_booking_changes_nothing_and_another_student_s_is_refused(
    student: Student, other_student: Student, slot: tuple[str, str]
) -> None:
    assert book(student, *slot, topic="first").status_code == 201
    again = book(student, *slot, topic="again")
    assert again.status_code == 200
    assert again.json()["topic"] == "first"
    assert unquote(urljoin(again.url, again.headers["Location"])) == unquote(again.url)
    assert_error(book(other_student, *slot), 409, "SLOT_TAKEN")
    assert_error(get_appointment(other_student, *slot), 404, "NOT_FOUND")
    assert_error(cancel(other_student, *slot), 404, "NOT_FOUND")
    assert get_appointment(student, *slot).json()["topic"] == "first"
    assert cancel(student, *slot).status_code == 204
    assert_error(cancel(student, *slot), 404, "NOT_FOUND")
    assert book(other_student, *slot).status_code == 201


def test_what_nobody_offers_can_not_be_booked(stack: Stack, student: Student, advisor: str) -> None:
    assert_error(book(student, advisor, "2030-05-06T09:00:00Z"), 404, "NOT_FOUND")
    assert_error(book(student, advisor, "2030-05-06T09:01:00Z", topic="x"), 404, "NOT_FOUND")
    assert_agreement(stack, advisor)


def test_what_has_begun_can_be_neither_booked_nor_cancelled(
    stack: Stack, staff: Student, newcomer: Student, advisor: str
) -> None:
    past, soon = from_now(minutes=-1), from_now(days=1)
    for starts_at in (past, soon):
        assert offer(staff, advisor, starts_at).status_code == 201
    assert_error(book(newcomer, advisor, past), 409, "TOO_LATE")
    assert free(newcomer, advisor) == [soon]
    assert book(newcomer, advisor, soon).status_code == 201
    # Time passes.
    key = {"advisor_id": {"S": advisor}, "starts_at": {"S": soon}}
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["SlotsTableName"],
        Key=key,
        UpdateExpression="SET starts = :now",
        ExpressionAttributeValues={":now": {"N": str(int(datetime.now().timestamp()))}},
    )
    assert_error(cancel(newcomer, advisor, soon), 409, "TOO_LATE")
    assert book(newcomer, advisor, soon).status_code == 200
    assert_agreement(stack, advisor)


def test_the_number_of_the_start_is_that_of_its_text(stack: Stack, staff: Student, advisor: str) -> None:
    days = [
        "2000-01-01",
        "2026-12-31",
        "2028-02-29",
        "2028-03-01",
        "2029-03-01",
        "2038-01-20",
        "2096-02-29",
        "2099-12-31",
    ]
    dates = [f"{day}T{hour:02}:09:00Z" for hour, day in enumerate(days, 7)]
    for starts_at in dates:
        assert offer(staff, advisor, starts_at).status_code == 201
    items = [item for item in stack.items("SlotsTableName") if item["advisor_id"]["S"] == advisor]
    assert len(items) == len(dates)
    for item in items:
        starts = datetime.fromisoformat(item["starts_at"]["S"].replace("Z", "+00:00")).timestamp()
        assert int(item["starts"]["N"]) == starts
        assert int(item["expires_at"]["N"]) == starts + timedelta(days=90).total_seconds()


def test_a_student_has_one_appointment_at_a_time_and_only_so_many_in_a_month(
    stack: Stack, staff: Student, newcomer: Student, advisor: str
) -> None:
    times = [f"{MONTH}-{day:02}T10:00:00Z" for day in range(1, 29)]
    other = f"{advisor}-other"
    for starts_at in [*times, "2031-04-01T00:00:00Z"]:
        assert offer(staff, advisor, starts_at).status_code == 201
    assert offer(staff, other, times[0]).status_code == 201
    assert book(newcomer, advisor, times[0]).status_code == 201
    assert_error(book(newcomer, other, times[0]), 409, "OTHER_BOOKING")
    answers = [book(newcomer, advisor, starts_at) for starts_at in times[1:]]
    done = [starts_at for starts_at, answer in zip(times[1:], answers, strict=True) if answer.status_code == 201]
    assert 0 < len(done) < len(answers)
    assert_error(answers[-1], 409, "TOO_MANY_BOOKINGS")
    assert book(newcomer, advisor, "2031-04-01T00:00:00Z").status_code == 201
    assert cancel(newcomer, advisor, times[0]).status_code == 204
    assert book(newcomer, other, times[0]).status_code == 201
    assert_error(book(newcomer, advisor, times[-1]), 409, "TOO_MANY_BOOKINGS")
    assert_agreement(stack, advisor, other)


def test_free_slots_are_paged_from_a_time_on_and_say_nothing_of_students(
    staff: Student, student: Student, newcomer: Student, advisor: str
) -> None:
    times = [f"2032-02-{day:02}T08:00:00Z" for day in range(1, 9)]
    for starts_at in times:
        assert offer(staff, advisor, starts_at).status_code == 201
    assert book(newcomer, advisor, times[3], topic="secret").status_code == 201
    first = list_free_slots(student, advisor, limit=3)
    assert [slot["starts_at"] for slot in first.json()["slots"]] == times[:3]
    second = list_free_slots(student, advisor, limit=3, after=first.json()["next"])
    assert [slot["starts_at"] for slot in second.json()["slots"]] == times[4:7]
    assert free(student, advisor, **{"from": times[6]}) == times[6:]
    everything = list_free_slots(student, advisor)
    assert everything.json()["slots"][0] == {"advisor_id": advisor, "starts_at": times[0]} | SLOT
    assert "secret" not in everything.text
    assert id_of(newcomer) not in everything.text


def test_upcoming_appointments_come_first_when_the_list_begins_now(
    stack: Stack, staff: Student, newcomer: Student, advisor: str
) -> None:
    past, soon = from_now(days=-40), from_now(days=40)
    assert offer(staff, advisor, soon).status_code == 201
    assert book(newcomer, advisor, soon).status_code == 201
    item = {"advisor_id": advisor, "starts_at": past, "student_id": id_of(newcomer)}
    table = stack.outputs["AppointmentsTableName"]
    stack.client("dynamodb").put_item(TableName=table, Item={name: {"S": value} for name, value in item.items()})
    upcoming = list_appointments(newcomer, **{"from": from_now()}).json()["appointments"]
    assert [appointment["starts_at"] for appointment in upcoming] == [soon]
    everything = list_appointments(newcomer).json()["appointments"]
    assert [appointment["starts_at"] for appointment in everything] == [past, soon]


@pytest.mark.parametrize(
    "time", ["x", "2030-05-06", "2030-13-06T09:00:00Z", "2030-05-06T09:00:00+02:00", '"', "%zz", "0"]
)
def test_a_time_that_is_no_time_is_refused(student: Student, staff: Student, advisor: str, time: str) -> None:
    assert_error(list_appointments(student, **{"from": time}), 400, "BAD_REQUEST")
    for name in ("from", "after"):
        assert_error(list_free_slots(student, advisor, **{name: time}), 400, "BAD_REQUEST")
        assert_error(list_advisor_appointments(staff, advisor, **{name: time}), 400, "BAD_REQUEST")


@pytest.mark.parametrize("limit", ["0", "101", "x", "1\n"])
def test_a_limit_that_is_no_limit_is_refused_by_each_list(
    student: Student, staff: Student, advisor: str, limit: str
) -> None:
    assert_error(list_free_slots(student, advisor, limit=limit), 400, "BAD_REQUEST")
    assert_error(list_advisor_appointments(staff, advisor, limit=limit), 400, "BAD_REQUEST")


def test_staff_see_who_comes_and_why(staff: Student, newcomer: Student, advisor: str, slot: tuple[str, str]) -> None:
    assert book(newcomer, *slot, topic='My "thesis" isn\'t good').status_code == 201
    [appointment] = list_advisor_appointments(staff, advisor).json()["appointments"]
    assert appointment == {
        "advisor_id": advisor,
        "starts_at": slot[1],
        "student_id": id_of(newcomer),
        "student_email": f"{advisor}@school.example",
        "topic": 'My "thesis" isn\'t good',
        **SLOT,
    }


def test_only_staff_offer_withdraw_and_see_appointments(
    student: Student, other_student: Student, slot: tuple[str, str]
) -> None:
    advisor, _ = slot
    assert book(student, *slot).status_code == 201
    assert_error(offer(other_student, advisor, "2030-05-06T11:00:00Z"), 403, "FORBIDDEN")
    assert_error(withdraw(other_student, *slot), 403, "FORBIDDEN")
    assert_error(withdraw(other_student, *slot, student_id=id_of(student)), 403, "FORBIDDEN")
    assert_error(list_advisor_appointments(other_student, advisor), 403, "FORBIDDEN")
    assert free(student, advisor) == []
    assert get_appointment(student, *slot).status_code == 200


@pytest.mark.parametrize("group", ["staffs", "non-staff", "staff-room", "Staff"])
def test_a_group_with_a_similar_name_is_not_staff(stack: Stack, advisor: str, group: str) -> None:
    cognito, pool, email = stack.client("cognito-idp"), stack.outputs["UserPoolId"], f"{group}@school.example"
    stack.create_student(email)
    cognito.create_group(UserPoolId=pool, GroupName=group)
    try:
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=email, GroupName=group)
        assert_error(list_advisor_appointments(stack.sign_in(email), advisor), 403, "FORBIDDEN")
    finally:
        cognito.delete_group(UserPoolId=pool, GroupName=group)


def test_a_slot_is_offered_once(staff: Student, student: Student, slot: tuple[str, str]) -> None:
    assert book(student, *slot).status_code == 201
    assert_error(offer(staff, *slot, place="elsewhere"), 409, "SLOT_OFFERED")
    assert get_appointment(student, *slot).json()["place"] == SLOT["place"]


@pytest.mark.parametrize(
    "change",
    [
        {"starts_at": "2030-02-30T09:00:00Z"},
        {"starts_at": "2030-05-06T09:00:00+02:00"},
        {"duration_minutes": 0},
        {"duration_minutes": "30"},
        {"place": ""},
        {"time_zone": "Europe/Berlin\n"},
        {"student_id": "someone"},
    ],
)
def test_a_bad_offer_is_refused(staff: Student, student: Student, advisor: str, change: dict[str, Any]) -> None:
    slot = {"starts_at": "2030-05-06T09:00:00Z"} | change
    assert_error(offer(staff, advisor, **slot), 400, "BAD_REQUEST_BODY")
    assert free(student, advisor) == []


@pytest.mark.parametrize("advisor_id", ["a b", "é", '"', "a" * 65, "-", "%zz"])
def test_an_advisor_has_a_plain_id(staff: Student, advisor_id: str) -> None:
    assert_error(offer(staff, advisor_id, "2030-05-06T09:00:00Z"), 400, "BAD_REQUEST")


def test_a_slot_is_withdrawn_with_its_appointment_only_if_its_student_is_named(
    stack: Stack, staff: Student, newcomer: Student, other_student: Student, slot: tuple[str, str]
) -> None:
    named = {"student_id": id_of(newcomer)}
    assert_error(withdraw(staff, *slot, **named), 409, "SLOT_FREE")
    assert book(newcomer, *slot).status_code == 201
    assert_error(withdraw(staff, *slot), 409, "SLOT_TAKEN")
    assert_error(withdraw(staff, *slot, student_id=id_of(other_student)), 409, "SLOT_TAKEN")
    assert withdraw(staff, *slot, **named).status_code == 204
    assert_error(withdraw(staff, *slot, **named), 404, "NOT_FOUND")
    assert_error(withdraw(staff, *slot), 404, "NOT_FOUND")
    assert list_appointments(newcomer).json()["appointments"] == []
    assert_error(book(newcomer, *slot), 404, "NOT_FOUND")
    assert_agreement(stack, slot[0])


def test_of_a_hundred_students_ten_get_ten_slots(
    stack: Stack, staff: Student, students: list[Student], advisor: str
) -> None:
    times = [f"2033-01-{day:02}T10:00:00Z" for day in range(1, 11)]
    for starts_at in times:
        assert offer(staff, advisor, starts_at).status_code == 201
    calls = [
        partial(book, student, advisor, starts_at) for student, starts_at in zip(students, times * 10, strict=True)
    ]
    answers = race(calls)
    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 90}
    assert {answer.json()["starts_at"] for answer in answers if answer.status_code == 201} == {*times}
    assert_agreement(stack, advisor)


def test_slots_and_appointments_agree_after_races_repeats_and_requests_in_any_order(
    stack: Stack, staff: Student, students: list[Student], advisor: str
) -> None:
    times = [f"2034-01-0{day}T10:00:00Z" for day in range(1, 4)]
    for starts_at in times:
        assert offer(staff, advisor, starts_at).status_code == 201
    # Twice each: to book, to cancel and book again, to withdraw what a student has booked.
    calls = [
        (call, student, starts_at)
        for student in students[:6]
        for starts_at in times
        for call in (
            partial(book, student, advisor, starts_at),
            partial(cancel, student, advisor, starts_at),
            partial(book, student, advisor, starts_at),
        )
    ] * 2
    calls += [
        (partial(withdraw, staff, advisor, times[0], student_id=id_of(student)), student, times[0])
        for student in students[:6]
    ]
    calls += [(partial(withdraw, staff, advisor, times[1]), staff, times[1])] * 3
    calls += [(partial(offer, staff, advisor, times[1]), staff, times[1])] * 3
    random.shuffle(calls)
    answers = race([call for call, _, _ in calls])
    assert {answer.status_code for answer in answers} <= {200, 201, 204, 404, 409}
    assert_agreement(stack, advisor)
    # Each appointment was booked once more than it was cancelled or withdrawn, all others as often.
    balance: Counter[tuple[str, str]] = Counter()
    for (_, student, starts_at), answer in zip(calls, answers, strict=True):
        balance[id_of(student), starts_at] += {201: 1, 204: -1}.get(answer.status_code, 0)
    booked = {
        (item["student_id"]["S"], item["starts_at"]["S"]): 1
        for item in stack.items("AppointmentsTableName")
        if item["advisor_id"]["S"] == advisor
    }
    assert {key: count for key, count in balance.items() if count and key[0] != id_of(staff)} == booked
