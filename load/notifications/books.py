"""The books of the notifications."""

from collections import Counter
from collections.abc import Iterable

from books import Item, Line


def notifications(items: Iterable[Item], mails: Counter[str]) -> list[Line]:
    """The books of the notifications, by address: the table of accounts beside the e-mails that students got."""
    students = [item for item in items if item["account_key"]["S"].startswith("STUDENT:")]
    accounts = Counter(student["email"]["S"] for student in students)
    not_told = [student["student_id"]["S"] for student in students if "notified_at" not in student]
    return [
        Line("e-mails, one for each account", mails.total(),
             [f"{email} has {accounts[email]} accounts and got {mails[email]} e-mails"
              for email in mails.keys() | accounts.keys() if mails[email] != accounts[email]]),
        Line("accounts whose student was not told", len(not_told), not_told),
    ]  # fmt: skip
