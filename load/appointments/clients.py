"""Students who book and cancel."""

import os
from collections.abc import Iterator
from urllib.parse import quote

from appointments.offers import offered
from client import APIS, STUDENTS, Client, Errand, chance

COUNT = int(os.environ["BOOKINGS"])


def url(slot: dict[str, str]) -> str:
    key = f"{quote(slot['advisor_id'], safe='')}/{quote(slot['starts_at'], safe='')}"
    return f"{APIS['appointments']}/appointments/{key}"


def book(client: Client, student: int, slot: dict[str, str], topic: str) -> int:
    fields = slot | {"student_id": STUDENTS[student]["student_id"]}
    return client.ask_until_answered("book", fields, "PUT", url(slot), {"topic": topic}, student)


def cancel(client: Client, student: int, slot: dict[str, str]) -> int:
    fields = slot | {"student_id": STUDENTS[student]["student_id"]}
    return client.ask_until_answered("cancel", fields, "DELETE", url(slot), None, student)


def errands(number: int) -> Iterator[Errand]:
    """What happens to one slot: most are booked once."""
    slot = offered(number, COUNT)
    first, second, third = chance.sample(range(len(STUDENTS)), 3)
    topic = f"Which courses, and why? é😀 {number}"
    twice, cancelled, strangers, booked_again = (chance.random() < share for share in (0.03, 0.1, 0.01, 0.2))

    def errand(client: Client) -> None:
        book(client, first, slot, topic)
        if twice:
            book(client, first, slot, topic)
        if strangers:
            cancel(client, third, slot)
        if cancelled:
            cancel(client, first, slot)
            if twice:
                cancel(client, first, slot)
            if booked_again:
                book(client, third, slot, topic)

    yield errand
    if chance.random() < 0.05:
        # At about the same time, another student wants the slot.
        yield lambda client: book(client, second, slot, topic)
