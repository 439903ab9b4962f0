"""Students who book and cancel."""

import os
import time
from collections.abc import Iterator
from urllib.parse import quote

from client import APIS, STUDENTS, Client, Errand, chance

COUNT = int(os.environ["BOOKINGS"])
ADVISORS = max(1, COUNT // 500)


def book(client: Client, student: int, slot: dict[str, str], topic: str) -> int:
    fields = slot | {"student_id": STUDENTS[student]["student_id"]}
    url = f"{APIS['appointments']}/appointments"
    return client.ask_until_answered("book", fields, "POST", url, slot | {"topic": topic}, student)


def cancel(client: Client, student: int, slot: dict[str, str]) -> int:
    fields = slot | {"student_id": STUDENTS[student]["student_id"]}
    path = f"/appointments/{quote(slot['advisor_id'], safe='')}/{quote(slot['starts_at'], safe='')}"
    return client.ask_until_answered("cancel", fields, "DELETE", f"{APIS['appointments']}{path}", None, student)


def errands(number: int) -> Iterator[Errand]:
    """What happens to one slot: most are booked once."""
    begin = time.gmtime(2_000_000_000 // 86400 * 86400 + 1800 * (number // ADVISORS))
    slot = {"advisor_id": f"advisor-{number % ADVISORS}", "starts_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", begin)}
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
