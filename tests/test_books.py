"""The load run's books notice what is lost, doubled or made up."""

from collections import Counter
from typing import Any

import pytest
from books import Line, Row, User, accounts, appointments

SLOTS = [{"advisor_id": "ada", "starts_at": f"2033-05-18T0{hour}:00:00Z"} for hour in range(4)]


def item(slot: dict[str, str], student: str) -> dict[str, Any]:
    return {name: {"S": value} for name, value in (slot | {"student_id": student}).items()}


def attempt(what: str, slot: dict[str, str], student: str, status: int) -> dict[str, Any]:
    return {"what": what, **slot, "student_id": student, "status": status}


def row(number: int, name: str, slot: dict[str, str], student: str) -> Row:
    image = item(slot, student)
    images = (image, None) if name == "INSERT" else (None, image)
    return Row(f"event-{number}", name, number, slot["advisor_id"], slot["starts_at"], student, *images)


# Booked; booked, cancelled and booked by another; booked without an answer; cancelled without an answer.
ATTEMPTS = [
    attempt("book", SLOTS[0], "s", 201),
    attempt("book", SLOTS[0], "t", 409),
    attempt("book", SLOTS[1], "s", 201),
    attempt("cancel", SLOTS[1], "s", 204),
    attempt("book", SLOTS[1], "t", 201),
    attempt("book", SLOTS[2], "s", 0),
    attempt("book", SLOTS[2], "s", 409),
    attempt("book", SLOTS[3], "s", 201),
    attempt("cancel", SLOTS[3], "s", 503),
    attempt("cancel", SLOTS[3], "s", 404),
]
TABLE = [item(SLOTS[0], "s"), item(SLOTS[1], "t"), item(SLOTS[2], "s")]
ROWS = [
    row(1, "INSERT", SLOTS[0], "s"),
    row(2, "INSERT", SLOTS[1], "s"),
    row(3, "REMOVE", SLOTS[1], "s"),
    row(4, "INSERT", SLOTS[1], "t"),
    row(5, "INSERT", SLOTS[2], "s"),
    row(6, "INSERT", SLOTS[3], "s"),
    row(7, "REMOVE", SLOTS[3], "s"),
]


def balance(lines: list[Line]) -> bool:
    return not any(line.problems for line in lines)


def test_books_balance_when_all_that_was_told_is_there() -> None:
    assert balance(appointments(ATTEMPTS, TABLE, ROWS))


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_books_notice_each_row_that_is_lost_or_doubled(number: int) -> None:
    assert not balance(appointments(ATTEMPTS, TABLE, ROWS[:number] + ROWS[number + 1 :]))
    assert not balance(appointments(ATTEMPTS, TABLE, [*ROWS, ROWS[number]]))
    assert not balance(appointments(ATTEMPTS, TABLE, [*ROWS, ROWS[number]._replace(event_id="8", sequence_number=8)]))


@pytest.mark.parametrize("number", range(len(TABLE)))
def test_books_notice_each_appointment_that_is_lost(number: int) -> None:
    assert not balance(appointments(ATTEMPTS, TABLE[:number] + TABLE[number + 1 :], ROWS))


def test_books_notice_a_loss_of_which_table_and_archive_say_the_same() -> None:
    assert not balance(appointments(ATTEMPTS, TABLE[1:], ROWS[1:]))
    assert not balance(appointments([*ATTEMPTS, attempt("cancel", SLOTS[0], "s", 204)], TABLE, ROWS))
    assert not balance(appointments(ATTEMPTS[1:], TABLE, ROWS))


EMAILS = ["a@school.example", "b@school.example"]
SIGN_UPS = [
    {"what": "open", "email": EMAILS[0], "status": 0},
    {"what": "open", "email": EMAILS[0], "status": 409},
    {"what": "request", "email": f" {EMAILS[0]}", "status": 202},
    {"what": "open", "email": EMAILS[1], "status": 201, "student_id": EMAILS[1]},
]
# An account's id is its address here.
ITEMS = [
    {"account_key": {"S": f"STUDENT:{email}"}, "student_id": {"S": email}, "email": {"S": email}, "notified_at": {}}
    for email in EMAILS
] + [{"account_key": {"S": f"EMAIL:{email}"}, "student_id": {"S": email}} for email in EMAILS]
USERS = [User(email, email, "CONFIRMED") for email in EMAILS]
MAILS = Counter(EMAILS)


def test_books_notice_each_account_item_user_and_e_mail_that_is_lost_or_doubled() -> None:
    assert balance(accounts(SIGN_UPS, ITEMS, USERS, MAILS))
    for number in range(len(ITEMS)):
        assert not balance(accounts(SIGN_UPS, ITEMS[:number] + ITEMS[number + 1 :], USERS, MAILS))
    second = ITEMS[0] | {"account_key": {"S": "STUDENT:c"}, "student_id": {"S": "c"}}
    assert not balance(accounts(SIGN_UPS, [*ITEMS, second], USERS, MAILS))
    assert not balance(accounts(SIGN_UPS, [ITEMS[0] | {"unfinished": {"S": "1"}}, *ITEMS[1:]], USERS, MAILS))
    assert not balance(accounts(SIGN_UPS, ITEMS, USERS[1:], MAILS))
    assert not balance(accounts(SIGN_UPS, ITEMS, [*USERS, USERS[0]._replace(student_id="c")], MAILS))
    assert not balance(accounts(SIGN_UPS, ITEMS, USERS, MAILS + Counter(EMAILS[:1])))
    assert not balance(accounts(SIGN_UPS, ITEMS, USERS, MAILS - Counter(EMAILS[:1])))
    assert not balance(accounts(SIGN_UPS[:3], ITEMS, USERS, MAILS))
