"""Slots, appointments and the months of students say the same."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from stack import Stack

Item = dict[str, Any]


def student_of(item: Item) -> str | None:
    return item.get("student_id", {}).get("S")


def disagreements(slots: list[Item], appointments: list[Item], months: list[Item]) -> Iterator[str]:
    """What the items of the three tables say differently."""
    taken, booked = (
        {(item["advisor_id"]["S"], item["starts_at"]["S"]): student_of(item) for item in items}
        for items in (slots, appointments)
    )
    for slot in taken.keys() | booked.keys():
        if taken.get(slot) != booked.get(slot):
            yield f"{slot} is taken by {taken.get(slot)}, and booked by {booked.get(slot)}"
    for item in slots:
        if ("free_at" in item) == ("student_id" in item):
            yield f"{item} is neither free nor taken, or both"
    times = defaultdict(list)
    for (_, starts_at), student in booked.items():
        times[student, starts_at[:7]].append(starts_at)
    counted = {(student_of(item), item["month"]["S"]): item["booked"]["SS"] for item in months if "booked" in item}
    for month in times.keys() | counted.keys():
        if sorted(times[month]) != sorted(counted.get(month, [])):
            yield f"{month} counts {counted.get(month)}, and {times[month]} are booked"


def assert_agreement(stack: Stack, *advisors: str) -> None:
    """Compares what the three tables say about these advisors and their students."""
    tables = [stack.items(f"{name}TableName") for name in ("Slots", "Appointments", "StudentMonths")]

    def is_of(item: Item) -> bool:
        return item.get("advisor_id", {}).get("S") in advisors

    students = {student_of(item) for items in tables for item in items if is_of(item)} - {None}
    problems = disagreements(
        *([item for item in items if is_of(item) or student_of(item) in students] for items in tables)
    )
    assert not list(problems)
