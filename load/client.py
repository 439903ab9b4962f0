"""A client of the APIs, driven by Locust, which writes every answer into a journal.

A client that gets no answer, or is told to try again, tries again. What it knows of a request afterwards is its answer,
or nothing.
"""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

PLAN = json.loads(Path(os.environ["PLAN"]).read_text())
STUDENTS = PLAN["students"]
# The addresses of the APIs, by room.
APIS = PLAN["apis"]
# Students pause between two errands, except in the last part of each round.
PAUSE_SECONDS = 0.15
ROUND_SECONDS = 120
BURST_SECONDS = 30
# How often a client hangs up before it has an answer; its request may have been fulfilled.
HANG_UP = 0.02
HANG_UP_SECONDS = 2

chance = random.Random(PLAN["seed"])
journal = Path(os.environ["JOURNAL"]).open("w")  # noqa: SIM115, open as long as the program runs
started = time.time()


class Client(FastHttpUser):
    """Sends requests, and sends them again until there is an answer."""

    abstract = True
    network_timeout = 60.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # Without retries of its own, which would not be in the journal.
        timeouts = {"network_timeout": chance.uniform(0.01, HANG_UP_SECONDS), "max_retries": 0}
        self.hasty = FastHttpSession(self.host, environment.events.request, self, **timeouts)

    def wait_time(self) -> float:
        is_burst = (time.time() - started) % ROUND_SECONDS > ROUND_SECONDS - BURST_SECONDS
        return 0 if is_burst else chance.uniform(0, 2 * PAUSE_SECONDS)

    def ask_until_answered(
        self, what: str, fields: dict[str, str], method: str, url: str, body: Any, student: int | None
    ) -> int:
        """Returns the status of the last answer; each attempt is in the journal, with status 0 if it has no answer."""
        attempt = 0
        while True:
            hangs_up = chance.random() < HANG_UP
            headers = {} if student is None else {"Authorization": self.token(student)}
            begin = time.time()
            session = self.hasty if hangs_up else self.client
            with session.request(method, url, name=what, json=body, headers=headers, catch_response=True) as answer:
                answer.success()
                status = answer.status_code
                entry = {"what": what, **fields, "status": status, "at": begin, "seconds": time.time() - begin}
                if status == 201:
                    entry["answer"] = answer.text
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
        """Signs the student in as the page does, and returns the ID token."""
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


# Requests of one client, one after the other.
Errand = Callable[[Client], Any]
