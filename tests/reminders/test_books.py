"""The books of a load test notice e-mails that are lost, doubled or made up."""

from reminders.books import Told, reminders

SLOTS = [
    {"advisor_id": {"S": "a"}, "starts_at": {"S": "1"}, "changes": {"N": "3"}, "student_id": {"S": "s"}},
    {"advisor_id": {"S": "a"}, "starts_at": {"S": "2"}},
]
TOLD: list[Told] = [("a~1", 1, "PUBLISH"), ("a~1", 2, "CANCEL"), ("a~1", 3, "PUBLISH")]


def balance(told: list[Told]) -> bool:
    return not any(line.problems for line in reminders(SLOTS, told))


def test_books_notice_each_e_mail_that_is_lost_or_doubled_or_wrong() -> None:
    assert balance(TOLD)
    for number in range(3):
        assert not balance([*TOLD[:number], *TOLD[number + 1 :]])
        assert not balance([*TOLD, TOLD[number]])
    assert not balance([*TOLD[:2], ("a~1", 3, "CANCEL")])
    assert not balance([*TOLD, ("a~2", 1, "PUBLISH")])
