"""Students who book, cancel and open accounts until the plan is done; every answer is written into a journal.

Whoever gets no answer, or is told to try again, tries again. What a client knows of a request afterwards is its answer,
or nothing.
"""

import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

PLAN = json.loads(Path(os.environ["PLAN"]).read_text())
STUDENTS = PLAN["students"]
# Students think between two errands, and in the last part of each round nobody does.
THINKING_SECONDS = 0.15
ROUND_SECONDS = 120
BURST_SECONDS = 30
# How often a client hangs up before it has an answer; what it asked for may have been done.
HANG_UP = 0.02
HANG_UP_SECONDS = 2

chance = random.Random(PLAN["seed"])
journal = Path(os.environ["JOURNAL"]).open("w")  # noqa: SIM115, open as long as the program runs
started = time.time()


class Client(FastHttpUser):
    """One of many who take the errands of the plan, one after the other."""

    network_timeout = 60.0
    at_work = 0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # Without retries of its own, whose first attempt nobody would know of.
        timeouts = {"network_timeout": chance.uniform(0.01, HANG_UP_SECONDS), "max_retries": 0}
        self.hasty = FastHttpSession(self.host, environment.events.request, self, **timeouts)

    def wait_time(self) -> float:
        is_burst = (time.time() - started) % ROUND_SECONDS > ROUND_SECONDS - BURST_SECONDS
        return 0 if is_burst else chance.uniform(0, 2 * THINKING_SECONDS)

    @task
    def do_an_errand(self) -> None:
        if errand := next(errands, None):
            Client.at_work += 1
            errand(self)
            Client.at_work -= 1
        elif not Client.at_work:
            self.environment.runner.quit()

    def book(self, student: int, slot: dict[str, str], topic: str) -> int:
        fields = slot | {"student_id": STUDENTS[student]["student_id"]}
        return self.ask_until_answered("book", fields, "POST", "/appointments", slot | {"topic": topic}, student)

    def cancel(self, student: int, slot: dict[str, str]) -> int:
        fields = slot | {"student_id": STUDENTS[student]["student_id"]}
        path = f"/appointments/{quote(slot['advisor_id'], safe='')}/{quote(slot['starts_at'], safe='')}"
        return self.ask_until_answered("cancel", fields, "DELETE", path, None, student)

    def sign_up(self, route: str, account: dict[str, str]) -> int:
        what = {"/accounts": "open", "/account-requests": "request"}[route]
        return self.ask_until_answered(what, {"email": account["email"].lower()}, "POST", route, account, None)

    def ask_until_answered(
        self, what: str, fields: dict[str, str], method: str, path: str, body: Any, student: int | None
    ) -> int:
        """The status of the answer in the end; each attempt is in the journal, one without an answer as 0."""
        attempt = 0
        while True:
            hangs_up = chance.random() < HANG_UP
            headers = {} if student is None else {"Authorization": self.token(student)}
            begin = time.time()
            session = self.hasty if hangs_up else self.client
            with session.request(method, path, name=what, json=body, headers=headers, catch_response=True) as answer:
                answer.success()
                status = answer.status_code
                entry = {"what": what, **fields, "status": status, "at": begin, "seconds": time.time() - begin}
                if what == "open" and status == 201:
                    entry["student_id"] = answer.json()["student_id"]
            journal.write(json.dumps(entry | {"hung_up": hangs_up}) + "\n")
            if status == 401:
                # The token has expired.
                STUDENTS[student].pop("token", None)
            elif status not in (0, 429) and status < 500:
                return status
            if not hangs_up:
                gevent.sleep(chance.uniform(0, min(8, 0.5 * 2**attempt)))
                attempt += 1

    def token(self, student: int) -> str:
        """The student's ID token, got with the password as the page gets it."""
        while "token" not in STUDENTS[student]:
            body = {
                "AuthFlow": "USER_PASSWORD_AUTH",
                "ClientId": PLAN["client_id"],
                "AuthParameters": {
                    "USERNAME": STUDENTS[student]["email"],
                    "PASSWORD": STUDENTS[student]["password"],
                },
            }
            headers = {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
            }
            with self.client.post(
                PLAN["cognito_url"], name="sign in", json=body, headers=headers, catch_response=True
            ) as answer:
                answer.success()
                if answer.status_code == 200:
                    STUDENTS[student]["token"] = answer.json()["AuthenticationResult"]["IdToken"]
                else:
                    gevent.sleep(chance.uniform(0, 1))
        return STUDENTS[student]["token"]


Errand = Callable[[Client], Any]


def book_and_change_ones_mind(slot: dict[str, str], number: int) -> Iterator[Errand]:
    """What happens to one slot: mostly it is booked, and that is all."""
    first, second, third = chance.sample(range(len(STUDENTS)), 3)
    topic = f"Which courses, and why? é😀 {number}"
    twice, cancelled, strangers, booked_again = (chance.random() < share for share in (0.03, 0.1, 0.01, 0.2))

    def errand(client: Client) -> None:
        client.book(first, slot, topic)
        if twice:
            client.book(first, slot, topic)
        if strangers:
            client.cancel(third, slot)
        if cancelled:
            client.cancel(first, slot)
            if twice:
                client.cancel(first, slot)
            if booked_again:
                client.book(third, slot, topic)

    yield errand
    if chance.random() < 0.05:
        # At about the same time, and by somebody else.
        yield lambda client: client.book(second, slot, topic)


def sign_up(number: int) -> Iterator[Errand]:
    """A student who signs up, and may not know whether it went well."""
    account = {
        "email": f"student-{number}-{uuid.UUID(int=chance.getrandbits(128))}@school.example",
        "given_name": "Zoë",
        "family_name": "O'Neill-Grünwald",
        "date_of_birth": "2004-02-29",
        "programme": "mathematics",
    }
    routes = ["/accounts", "/account-requests"]
    route = routes[number % 2]
    yield lambda client: client.sign_up(route, account)
    if chance.random() < 0.05:
        again = account | {"email": f" {account['email'].upper()}"}
        yield lambda client: client.sign_up(chance.choice(routes), again)


def plan() -> Iterator[Errand]:
    """All errands; bookings and sign-ups are spread evenly over each other."""
    advisors = max(1, PLAN["bookings"] // 500)
    signed_up = 0
    for number in range(PLAN["bookings"]):
        begin = time.gmtime(2_000_000_000 // 86400 * 86400 + 1800 * (number // advisors))
        slot = {
            "advisor_id": f"advisor-{number % advisors}",
            "starts_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", begin),
        }
        yield from book_and_change_ones_mind(slot, number)
        while signed_up < PLAN["sign_ups"] * (number + 1) // PLAN["bookings"]:
            yield from sign_up(signed_up)
            signed_up += 1


errands = plan()


@events.quitting.add_listener
def close_journal(environment: Environment) -> None:
    journal.close()
