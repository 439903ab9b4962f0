"""The books of a load test notice accounts that are lost, doubled or made up."""

import json

from accounts.books import User, accounts
from books import Attempt, Item

EMAILS = ["a@school.example", "b@school.example"]
SIGN_UPS = [
    {"what": "open", "email": EMAILS[0], "status": 0},
    {"what": "open", "email": EMAILS[0], "status": 409},
    {"what": "request", "email": f" {EMAILS[0]}", "status": 202},
    {"what": "open", "email": EMAILS[1], "status": 201, "answer": json.dumps({"student_id": EMAILS[1]})},
]
# An account's id is its address here.
ITEMS = [
    {"account_key": {"S": f"STUDENT:{email}"}, "student_id": {"S": email}, "email": {"S": email}} for email in EMAILS
] + [{"account_key": {"S": f"EMAIL:{email}"}, "student_id": {"S": email}} for email in EMAILS]
USERS = [User(email, email, "CONFIRMED") for email in EMAILS]


def balance(attempts: list[Attempt], items: list[Item], users: list[User]) -> bool:
    return not any(line.problems for line in accounts(attempts, items, users))


def test_books_notice_each_account_item_and_user_that_is_lost_or_doubled() -> None:
    assert balance(SIGN_UPS, ITEMS, USERS)
    for number in range(len(ITEMS)):
        assert not balance(SIGN_UPS, ITEMS[:number] + ITEMS[number + 1 :], USERS)
    second = ITEMS[0] | {"account_key": {"S": "STUDENT:c"}, "student_id": {"S": "c"}}
    assert not balance(SIGN_UPS, [*ITEMS, second], USERS)
    assert not balance(SIGN_UPS, [ITEMS[0] | {"unfinished": {"S": "1"}}, *ITEMS[1:]], USERS)
    assert not balance(SIGN_UPS, ITEMS, USERS[1:])
    assert not balance(SIGN_UPS, ITEMS, [*USERS, USERS[0]._replace(student_id="c")])
    assert not balance(SIGN_UPS[:3], ITEMS, USERS)
