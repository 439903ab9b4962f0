"""The books of a load test notice e-mails that are lost, doubled or made up."""

from collections import Counter

from books import Item
from notifications.books import notifications

EMAILS = ["a@school.example", "b@school.example"]
ITEMS = [
    {"account_key": {"S": f"STUDENT:{email}"}, "student_id": {"S": email}, "email": {"S": email}, "notified_at": {}}
    for email in EMAILS
]
MAILS = Counter(EMAILS)


def balance(items: list[Item], mails: Counter[str]) -> bool:
    return not any(line.problems for line in notifications(items, mails))


def test_books_notice_each_e_mail_that_is_lost_or_doubled() -> None:
    assert balance(ITEMS, MAILS)
    assert not balance(ITEMS[1:], MAILS)
    assert not balance(ITEMS, MAILS + Counter(EMAILS[:1]))
    assert not balance(ITEMS, MAILS - Counter(EMAILS[:1]))
    not_told = {name: value for name, value in ITEMS[0].items() if name != "notified_at"}
    assert not balance([not_told, ITEMS[1]], MAILS)
