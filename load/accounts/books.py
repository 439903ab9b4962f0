"""The books of the accounts."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from books import Attempt, Item, Line


class User(NamedTuple):
    """A user of the pool."""

    email: str
    student_id: str
    status: str


def accounts(attempts: Iterable[Attempt], items: Iterable[Item], users: list[User]) -> list[Line]:
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
    unfinished = [item["student_id"]["S"] for found in students.values() for item in found if "unfinished" in item]
    return [
        Line("addresses that were told that they have an account, or will have one; one account each", len(promised),
             [f"{len(ids.get(email, []))} accounts" for email in promised if len(ids.get(email, [])) != 1]),
        Line("sign-ups answered 201, each with the id that the account has", len(opened),
             [f"{attempt['answer']} has not the id of the account"
              for attempt in opened
              if ids.get(attempt["email"].strip()) != [json.loads(attempt["answer"])["student_id"]]]),
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
        Line("accounts that are unfinished", len(unfinished), unfinished),
    ]  # fmt: skip
