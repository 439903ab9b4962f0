"""The books of the reminders."""

from collections import defaultdict
from collections.abc import Iterable

from books import Item, Line

# What an e-mail's calendar file says: the slot (`<advisor_id>~<starts_at>`), SEQUENCE and METHOD.
Told = tuple[str, int, str]


def reminders(slots: Iterable[Item], told: Iterable[Told]) -> list[Line]:
    """The books of the reminders, by slot: the changes since it was put into the table beside the e-mails about them."""
    changes = {
        f"{slot['advisor_id']['S']}~{slot['starts_at']['S']}": int(slot.get("changes", {"N": 0})["N"]) for slot in slots
    }
    by_slot: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for slot, number, method in told:
        by_slot[slot].append((number, method))
    # A slot is booked and cancelled by turns.
    expected = {
        slot: [(number, "PUBLISH" if number % 2 else "CANCEL") for number in range(1, count + 1)]
        for slot, count in changes.items()
    }
    return [
        Line("e-mails with a calendar file, one for each change of a slot", sum(map(len, by_slot.values())),
             [f"{slot} changed {len(expected.get(slot, []))} times; the e-mails: {sorted(by_slot[slot])}"
              for slot in expected.keys() | by_slot.keys() if sorted(by_slot[slot]) != expected.get(slot, [])]),
    ]  # fmt: skip
