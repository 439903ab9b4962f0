"""Opens an account, books and cancels as its student, waits for the archive, and shows what is in it."""

import random
import sys
from datetime import datetime, timedelta, timezone

import requests
from stack import Stack, wait_until

ADVISOR = "ada-lovelace"
STUDENT = {
    "email": "student@school.example",
    "given_name": "Sam",
    "family_name": "Student",
    "date_of_birth": "2006-05-04",
    "programme": "mathematics",
}


def main() -> None:
    stack = Stack(sys.argv[1])
    answer = requests.post(f"{stack.api_url}/accounts", json=STUDENT, timeout=30)
    print(f"POST /accounts                    {answer.status_code}  {STUDENT['email']}")
    student = stack.sign_in(STUDENT["email"])

    now = datetime.now(timezone.utc)
    # Drawn by lot, so that no run of this before has taken them.
    minutes = random.sample(range(365 * 24 * 60), 2)
    kept, cancelled = ((now + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:00Z") for minute in minutes)
    for slot in (kept, cancelled):
        answer = student.book(advisor_id=ADVISOR, starts_at=slot, topic="How do I choose a thesis?")
        print(f"POST /appointments                {answer.status_code}  {slot} with {ADVISOR}")
    answer = student.cancel(ADVISOR, cancelled)
    print(f"DELETE /appointments/{ADVISOR}/…  {answer.status_code}  {cancelled}")
    answer = student.list()
    print(f"GET /appointments                 {answer.status_code}  {len(answer.json()['appointments'])} booked")

    print("Waiting for the archive …", flush=True)
    changes = (
        f"FROM archive WHERE advisor_id = '{ADVISOR}' AND event_time >= TIMESTAMPTZ '{now - timedelta(seconds=1)}'"
    )
    wait_until(lambda: len(stack.query_archive(f"SELECT * {changes}")) >= 3, "three changes in the archive")
    print("\nThe newest rows of the archive in S3, read by DuckDB:\n")
    stack.query_archive(
        """SELECT event_time::VARCHAR AS event_time, event_name, advisor_id, starts_at::VARCHAR AS starts_at, topic
        FROM archive ORDER BY sequence_number::HUGEINT DESC LIMIT 10"""
    ).show(max_width=200)
    rows = stack.query_archive("SELECT count(*), count(DISTINCT event_id), count(DISTINCT key) FROM archive").fetchone()
    print("{} changes, {} of them distinct, in {} objects\n".format(*rows))
    print(f"Pages      {stack.outputs['WebUrl']}")
    print(f"API        {stack.api_url}")
    print(f"Archive    s3://{stack.outputs['ArchiveBucketName']}/appointments/")
    print(f"Ledger     DynamoDB table {stack.outputs['LedgerTableName']}")


if __name__ == "__main__":
    main()
