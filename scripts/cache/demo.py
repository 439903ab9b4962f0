"""Books two times and lists them. The cluster keeps the first list, so it lacks the second time for some seconds."""

import random
import sys
import time
from datetime import date, timedelta

import requests
from appointments.booking import book, cancel, offer
from stack import of_environment, wait_until

ROOM = "cache"
ADVISOR = "ada-lovelace"


def main() -> None:
    root = of_environment(sys.argv[1])
    stack, student = root.beside(ROOM), root.create_student("student@school.example")
    # Chosen at random, so that no cache has the list yet and earlier demonstrations have not taken the times.
    day = date.today() + timedelta(days=random.randrange(1, 365))
    slots = [f"{day}T{minute // 60:02}:{minute % 60:02}:00Z" for minute in sorted(random.sample(range(24 * 60), 2))]
    session, url = requests.Session(), f"{stack.api_url(ROOM)}/advisors/{ADVISOR}/times"
    session.headers["Authorization"] = student.token

    def read() -> requests.Response:
        return session.get(url, params={"from": str(day), "limit": 2}, timeout=30)

    def show(answer: requests.Response) -> None:
        milliseconds = answer.elapsed.total_seconds() * 1000
        print(f"GET /advisors/{ADVISOR}/times?from={day}  {answer.status_code}  {milliseconds:5.1f} ms  {answer.text}")

    staff = root.create_staff("dean@school.example")
    for slot in slots:
        offer(staff, ADVISOR, slot)
        answer = book(student, ADVISOR, slot)
        print(f"PUT /appointments/{ADVISOR}/{slot}  {answer.status_code}")
        show(read())
    started = time.perf_counter()
    wait_until(lambda: slots[1] in read().json()["times"], "the cluster has asked the table again")
    print(f"{time.perf_counter() - started:.0f} s later:")
    show(read())
    # A student may have only so many in a month.
    for slot in slots:
        cancel(student, ADVISOR, slot)
    print(f"API        {stack.api_url(ROOM)}")
    print(f"Cluster    {stack.outputs.get('DaxClusterName', 'none: each read is one of the table')}")


if __name__ == "__main__":
    main()
