"""Slots, appointments and the months of students say the same."""

from collections import defaultdict

from stack import Stack


def assert_agreement(stack: Stack, *advisors: str) -> None:
    """Compares what the three tables say about these advisors and their students."""
    slots = {(item["advisor_id"]["S"], item["starts_at"]["S"]): item for item in stack.items("SlotsTableName")}
    appointments = {
        (item["advisor_id"]["S"], item["starts_at"]["S"]): item for item in stack.items("AppointmentsTableName")
    }
    taken = {key: item["student_id"]["S"] for key, item in slots.items() if "student_id" in item and key[0] in advisors}
    booked = {key: item["student_id"]["S"] for key, item in appointments.items() if key[0] in advisors}
    assert taken == booked
    assert all(("free_at" in item) != ("student_id" in item) for item in slots.values())
    students = {*booked.values()}
    times = defaultdict(set)
    for (_, starts_at), item in appointments.items():
        if item["student_id"]["S"] in students:
            times[item["student_id"]["S"], starts_at[:7]].add(starts_at)
    months = {
        (item["student_id"]["S"], item["month"]["S"]): set(item["booked"]["SS"])
        for item in stack.items("StudentMonthsTableName")
        if item["student_id"]["S"] in students and "booked" in item
    }
    assert months == times
