"""`make forget` leaves nothing of a student in the tables, and frees what the student has booked."""

from agreement import assert_agreement
from appointments.forget import forget
from booking import book, list_free_slots, offer
from stack import Stack, Student
from tokens import claims_of


def test_what_a_student_has_booked_is_free_and_nothing_of_the_student_is_left(
    stack: Stack, staff: Student, student: Student, other_student: Student, advisor: str
) -> None:
    leaving = stack.create_student(f"{advisor}@school.example")
    student_id = claims_of(leaving.token)["custom:student_id"]
    times = [f"2035-{month}-06T09:00:00Z" for month in ("01", "02", "03", "04")]
    for starts_at in times:
        assert offer(staff, advisor, starts_at).status_code == 201
    for starts_at in times[:3]:
        assert book(leaving, advisor, starts_at, topic="between me and my advisor").status_code == 201
    assert book(other_student, advisor, times[3]).status_code == 201
    # DynamoDB deletes a slot ninety days after it began.
    key = {"advisor_id": {"S": advisor}, "starts_at": {"S": times[0]}}
    stack.client("dynamodb").delete_item(TableName=stack.outputs["SlotsTableName"], Key=key)

    assert forget(stack, student_id) == (3, 3)
    assert forget(stack, student_id) == (0, 0)
    left = [item for table in ("Slots", "Appointments", "StudentMonths") for item in stack.items(f"{table}TableName")]
    assert student_id not in str(left)
    assert f"{advisor}@school.example" not in str(left)
    assert [slot["starts_at"] for slot in list_free_slots(student, advisor).json()["slots"]] == times[1:3]
    assert_agreement(stack, advisor)
