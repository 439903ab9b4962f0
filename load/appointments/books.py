"""The books of the appointments."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from books import Attempt, Item, Line, is_unknown


class Row(NamedTuple):
    """A row of the archive; images are DynamoDB JSON."""

    event_id: str
    event_name: str
    sequence_number: int
    advisor_id: str
    starts_at: str
    student_id: str
    new_image: Item | None
    old_image: Item | None


def appointments(attempts: Iterable[Attempt], table: Iterable[Item], rows: list[Row]) -> list[Line]:
    """The books of the appointments, by slot and student."""
    told: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for attempt in attempts:
        if attempt["what"] in ("book", "cancel"):
            slot = (attempt["advisor_id"], attempt["starts_at"], attempt["student_id"])
            done = {"book": 201, "cancel": 204}[attempt["what"]]
            if attempt["status"] == done:
                told[slot][attempt["what"]] += 1
            elif is_unknown(attempt):
                told[slot][f"{attempt['what']}?"] += 1

    booked = {(item["advisor_id"]["S"], item["starts_at"]["S"]): item for item in table}
    taken = {(*slot, item["student_id"]["S"]) for slot, item in booked.items()}
    archived: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        archived[row.advisor_id, row.starts_at, row.student_id][row.event_name] += 1
    events = Counter(row.event_id for row in rows)
    names = Counter(row.event_name for row in rows)
    told_in_all: Counter[str] = sum(told.values(), Counter())

    lost, unasked, not_cancelled = [], [], []
    for slot in told.keys() | taken:
        count = told[slot]
        least = count["book"] - count["cancel"] - count["cancel?"]
        most = count["book"] + count["book?"] - count["cancel"]
        if least > 0 and slot not in taken:
            lost.append(f"{slot} was booked, and is not in the table")
        if most < 1 and slot in taken:
            problems = not_cancelled if count["cancel"] else unasked
            problems.append(f"{slot} is in the table, and should not be")

    def archived_as_told(event: str, what: str) -> list[str]:
        return [
            f"{slot} has {archived[slot][event]} {event} for {told[slot]}"
            for slot in told.keys() | archived.keys()
            if not told[slot][what] <= archived[slot][event] <= told[slot][what] + told[slot][what + "?"]
        ]

    return [
        Line("bookings answered 201, each in the table unless it was cancelled", told_in_all["book"], lost),
        Line("cancellations answered 204, each gone from the table unless it was booked again", told_in_all["cancel"],
             not_cancelled),
        Line("appointments in the table, each asked for", len(booked), unasked),
        Line("rows in the archive, each change once", len(rows),
             [f"{event} is there {count} times" for event, count in events.items() if count > 1]),
        Line("`INSERT` rows, one for each 201, the others of attempts whose client did not learn it", names["INSERT"],
             archived_as_told("INSERT", "book")),
        Line("`REMOVE` rows, one for each 204, the others of attempts whose client did not learn it", names["REMOVE"],
             archived_as_told("REMOVE", "cancel")),
        Line("other rows", names.total() - names["INSERT"] - names["REMOVE"],
             [f"{row.event_id} is {row.event_name}" for row in rows if row.event_name not in ("INSERT", "REMOVE")]),
        Line("slots whose rows, in order, each begin where the one before ended, and end as the table is",
             len({slot[:2] for slot in archived}), folded(rows, booked)),
    ]  # fmt: skip


def folded(rows: list[Row], booked: dict[tuple[str, str], Item]) -> list[str]:
    """What is wrong with the archive as the table's history."""
    problems = []
    now: dict[tuple[str, str], Item | None] = {}
    for row in sorted(rows, key=lambda row: row.sequence_number):
        slot = row.advisor_id, row.starts_at
        if row.old_image != now.get(slot):
            problems.append(f"{row.event_id} of {slot} does not follow from the row before it")
        now[slot] = row.new_image
    problems += [
        f"{slot} is not in the table as it is in the archive"
        for slot in now.keys() | booked.keys()
        if now.get(slot) != booked.get(slot)
    ]
    return problems
