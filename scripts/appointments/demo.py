"""Books and cancels as a student, waits for the archive, and shows its newest rows."""

import random
import sys
from datetime import datetime, timedelta, timezone

from appointments.archive import Archive
from appointments.booking import book, cancel, list_appointments, offer
from stack import of_environment, wait_until

ADVISOR = "ada-lovelace"


def main() -> None:
    stack = of_environment(sys.argv[1])
    archive = Archive(stack)
    staff, student = stack.create_staff("dean@school.example"), stack.create_student("student@school.example")
    now = datetime.now(timezone.utc)
    # Chosen at random, so that earlier demonstrations have not taken them.
    minutes = random.sample(range(60, 365 * 24 * 60), 2)
    kept, cancelled = ((now + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:00Z") for minute in minutes)
    for slot in (kept, cancelled):
        answer = offer(staff, ADVISOR, slot)
        print(f"POST /advisors/{ADVISOR}/slots     {answer.status_code}  {slot}")
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
