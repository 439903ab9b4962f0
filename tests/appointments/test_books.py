"""The books of a load test notice appointments that are lost, doubled or made up."""

from typing import Any

import pytest
from appointments.books import Row, appointments
from books import Line

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
