"""The books: what clients were answered, beside what the stack holds, to the record."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Item = dict[str, Any]
# What a client was told: an attempt, as the journal has it.
Attempt = dict[str, Any]


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


@dataclass
class Line:
    """A line of the books. It balances if nothing is wrong with it."""

    text: str
    count: int
    problems: list[str] = field(default_factory=list)


def is_unknown(attempt: Attempt) -> bool:
    """Whether the client can't know if it was done: no answer, or one that says that something failed."""
    return attempt["status"] == 0 or attempt["status"] >= 500


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


class User(NamedTuple):
    """A user of the pool."""

    email: str
    student_id: str
    status: str


def accounts(attempts: Iterable[Attempt], items: Iterable[Item], users: list[User], mails: Counter[str]) -> list[Line]:
    """The books of the accounts, by address."""
    told: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt["what"] in ("open", "request"):
            told[attempt["email"].strip()].append(attempt)
    students: dict[str, list[Item]] = defaultdict(list)
    addresses: dict[str, str] = {}
    for item in items:
        kind, _, name = item["account_key"]["S"].partition(":")
        if kind == "STUDENT":
            students[item["email"]["S"]].append(item)
        else:
            addresses[name] = item["student_id"]["S"]
    ids = {email: [item["student_id"]["S"] for item in found] for email, found in students.items()}
    users_of: dict[str, list[User]] = defaultdict(list)
    for user in users:
        users_of[user.email].append(user)

    def sent(*statuses: int) -> list[Attempt]:
        return [attempt for found in told.values() for attempt in found if attempt["status"] in statuses]

    opened = sent(201)
    promised = {attempt["email"].strip() for attempt in sent(201, 202, 409)}
    unfinished = [
        item["student_id"]["S"]
        for found in students.values()
        for item in found
        if "unfinished" in item or "notified_at" not in item
    ]
    return [
        Line("addresses that were told that they have an account, or will have one; one account each", len(promised),
             [f"{len(ids.get(email, []))} accounts" for email in promised if len(ids.get(email, [])) != 1]),
        Line("sign-ups answered 201, each with the id that the account has", len(opened),
             [f"{attempt['student_id']} is not that of the account"
              for attempt in opened if ids.get(attempt["email"].strip()) != [attempt["student_id"]]]),
        Line("accounts, each asked for, one for each address", len(students),
             [f"{ids[email]} for one address, asked for {len(told.get(email, []))} times"
              for email in students if email not in told or len(students[email]) != 1]),
        Line("items that keep an address, each for the account that has it", len(addresses),
             [f"{addresses.get(email)} keeps the address of {ids.get(email)}"
              for email in addresses.keys() | ids.keys() if [addresses.get(email)] != ids.get(email)]),
        Line("users in the pool, one for each account, with its id, able to sign in", len(users),
             [f"{ids.get(email)} has the users {[user[1:] for user in users_of[email]]}"
              for email in users_of.keys() | ids.keys()
              if [(user.student_id, user.status) for user in users_of[email]]
              != [(student_id, "CONFIRMED") for student_id in ids.get(email, [])]]),
        Line("e-mails, one for each account", mails.total(),
             [f"{ids.get(email)} got {mails[email]} e-mails"
              for email in mails.keys() | ids.keys() if mails[email] != len(ids.get(email, []))]),
        Line("accounts that are unfinished, or whose student was not told", len(unfinished), unfinished),
    ]  # fmt: skip


def nothing(text: str, found: Iterable[Any]) -> Line:
    """A line of what there must be none of."""
    problems = [json.dumps(what) for what in found]
    return Line(text, len(problems), problems)
