"""Offers slots, books and cancels as a student, waits for the archive, and shows its newest rows."""

import random
import sys
from datetime import datetime, timedelta, timezone

from appointments.archive import Archive
from appointments.booking import book, cancel, list_appointments, list_free_slots
from appointments.offer import demonstration, offer_lines
from stack import of_environment, wait_until

ADVISOR = "ada-lovelace"


def main() -> None:
    stack = of_environment(sys.argv[1])
    archive = Archive(stack)
    staff, student = stack.create_staff("dean@school.example"), stack.create_student("student@school.example")
    now = datetime.now(timezone.utc)
    slots, _ = offer_lines(staff, demonstration())
    print(f"POST /advisors/…/slots             {slots['offered']} offered, {slots['offered before']} before")
    # Those of earlier demonstrations: a student may have only so many in a month.
    for appointment in list_appointments(student, **{"from": now.strftime("%Y-%m-%dT%H:%M:00Z")}).json()[
        "appointments"
    ]:
        cancel(student, appointment["advisor_id"], appointment["starts_at"])
    answer = list_free_slots(student, ADVISOR)
    print(f"GET /advisors/{ADVISOR}/slots {answer.status_code}  {len(answer.json()['slots'])} free")
    kept, cancelled = random.sample([slot["starts_at"] for slot in answer.json()["slots"]], 2)
    for slot in (kept, cancelled):
        answer = book(student, ADVISOR, slot, topic="How do I choose a thesis?")
        print(f"PUT /appointments/{ADVISOR}/…      {answer.status_code}  {slot}")
    answer = cancel(student, ADVISOR, cancelled)
    print(f"DELETE /appointments/{ADVISOR}/…   {answer.status_code}  {cancelled}")
    answer = list_appointments(student)
    print(f"GET /appointments                  {answer.status_code}  {len(answer.json()['appointments'])} booked")

    print("Waiting for the archive …", flush=True)
    changes = (
        f"FROM archive WHERE advisor_id = '{ADVISOR}' AND event_time >= TIMESTAMPTZ '{now - timedelta(seconds=1)}'"
    )
    wait_until(lambda: len(archive.query(f"SELECT * {changes}")) >= 3, "three changes in the archive")
    print("\nThe newest rows of the archive in S3, read by DuckDB:\n")
    archive.query(
        """SELECT event_time::VARCHAR AS event_time, event_name, advisor_id, starts_at::VARCHAR AS starts_at, topic
        FROM archive ORDER BY sequence_number::HUGEINT DESC LIMIT 10"""
    ).show(max_width=200)
    rows = archive.query("SELECT count(*), count(DISTINCT event_id), count(DISTINCT key) FROM archive").fetchone()
    print("{} changes, {} of them distinct, in {} objects\n".format(*rows))
    print(f"API        {stack.api_url('appointments')}")
    print(f"Archive    s3://{stack.outputs['ArchiveBucketName']}/appointments/")
    print(f"Ledger     DynamoDB table {stack.outputs['LedgerTableName']}")


if __name__ == "__main__":
    main()
