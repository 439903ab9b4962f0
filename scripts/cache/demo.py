"""Books a time and lists it twice: the first read is the table's, and the second is the cluster's cache."""

import random
import sys
import time
from datetime import datetime, timedelta, timezone

import requests
from appointments.booking import book
from stack import of_environment

ROOM = "cache"
ADVISOR = "ada-lovelace"
DAYS = 365


def main() -> None:
    root = of_environment(sys.argv[1])
    stack, student = root.beside(ROOM), root.create_student("student@school.example")
    # Chosen at random, so that no cache has the list yet and earlier demonstrations have not taken the time.
    starts_at = datetime.now(timezone.utc) + timedelta(days=random.randrange(DAYS), minutes=random.randrange(24 * 60))
    slot = starts_at.strftime("%Y-%m-%dT%H:%M:00Z")
    print(f"POST /appointments  {book(student, advisor_id=ADVISOR, starts_at=slot).status_code}  {slot} with {ADVISOR}")

    session, day = requests.Session(), slot.partition("T")[0]
    session.headers["Authorization"] = student.token
    path = f"/advisors/{ADVISOR}/times"

    def read(**parameters: str | int) -> None:
        started = time.perf_counter()
        answer = session.get(f"{stack.api_url(ROOM)}{path}", params=parameters, timeout=30)
        milliseconds = (time.perf_counter() - started) * 1000
        print(f"GET {path}?from={day}  {answer.status_code}  {milliseconds:6.1f} ms  {answer.text}")

    # Starts the function, and connects it to the cluster.
    session.get(f"{stack.api_url(ROOM)}{path}", timeout=30)
    for _ in range(2):
        read(**{"from": day, "limit": 3})
    print(f"API        {stack.api_url(ROOM)}")
    print(f"Cluster    {stack.outputs.get('DaxClusterName', 'none: each read is one of the table')}")


if __name__ == "__main__":
    main()
