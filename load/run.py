"""`make load`: clients and faults in a local cloud of its own, for the rooms that are there; then books and a report."""

import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread
from typing import Any, Protocol

import books
import room_modules
import up
from books import Attempt, Line
from faults import killed_at_random
from outages import SEED, Outages, chance
from queues import count
from stack import NAME, Stack

LOAD = Path(__file__).parent
CLIENTS = 16


# A user who can sign in, without an account: `email`, `student_id` and `password`.
Student = dict[str, str]


class Room(Protocol):
    """What load/<room>/room.py says of a room. Its clients, if it has some, are in load/<room>/clients.py."""

    # How many students its clients need who can sign in.
    STUDENTS: int
    # The requests of its clients, by the journal's name for them, as the report names them.
    TITLES: dict[str, str]
    # The functions that are killed.
    FUNCTIONS: list[str]
    # Sentences of the report: what its clients do, and which settings `prepare` changes.
    STORY: str
    SETTINGS: str

    def prepare(self, stack: Stack) -> None:
        """Shortens what would wait for minutes, and limits the processes of functions to what a small machine can run."""

    def outages(self, stack: Stack, hit: list[str]) -> Outages:
        """What fails while the clients work; killed functions are added to ``hit``."""

    def settle(self, stack: Stack, students: list[Student]) -> list[Attempt]:
        """Waits until all requests have had their effect; returns the attempts that it made for that."""

    def balance(self, stack: Stack, journal: list[Attempt], students: list[Student]) -> list[Line]:
        """The books of the room."""


Rooms = dict[str, Room]


# ---- Before: students


def create_students(stack: Stack, number_of_students: int) -> list[Student]:
    """Creates users who can sign in."""
    cognito, pool = stack.client("cognito-idp"), stack.outputs["UserPoolId"]
    students = []
    for number in range(number_of_students):
        email, student_id = f"student-{number}@school.example", str(uuid.uuid4())
        attributes = [{"Name": "custom:student_id", "Value": student_id}]
        cognito.admin_create_user(UserPoolId=pool, Username=email, UserAttributes=attributes, MessageAction="SUPPRESS")
        password = f"Aa1-{secrets.token_urlsafe(24)}"
        cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
        students.append({"email": email, "student_id": student_id, "password": password})
    return students


# ---- Meanwhile: clients and faults


def inject_outages(possible: Outages, finished: Event) -> Counter[str]:
    """One outage after the other, each for some seconds, until the clients have finished."""
    injected: Counter[str] = Counter()
    waiting: list[str] = []
    while not finished.is_set():
        waiting = waiting or chance.sample(list(possible), len(possible))
        name = waiting.pop()
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        with possible[name]():
            finished.wait(chance.uniform(3, 12))
        injected[name] += 1
        finished.wait(chance.uniform(10, 30))
    return injected


def run_clients(stack: Stack, rooms: Rooms, students: list[Student], directory: Path) -> list[Attempt]:
    """Runs Locust until no errand is left; returns the journal of all attempts."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    plan = {
        "students": students,
        "seed": SEED,
        "apis": {name: stack.api_url(name) for name, room in rooms.items() if room.TITLES},
        "client_id": stack.outputs["UserPoolClientId"],
        "cognito_url": endpoint,
    }
    (directory / "plan.json").write_text(json.dumps(plan))
    journal = directory / "journal.jsonl"
    variables = os.environ | {
        "PLAN": str(directory / "plan.json"),
        "JOURNAL": str(journal),
        # The rooms' clients import from their own folders.
        "PYTHONPATH": os.pathsep.join([str(LOAD), os.environ["PYTHONPATH"]]),
    }
    command = [sys.executable, "-m", "locust", "-f", str(LOAD / "locustfile.py"), "--headless"]
    command += ["--users", str(CLIENTS), "--spawn-rate", "10", "--host", endpoint, "--only-summary"]
    # Faults are meant to fail requests; the books say whether it matters.
    command += ["--exit-code-on-error", "0"]
    subprocess.run(command, env=variables, check=True)
    return [json.loads(line) for line in journal.read_text().splitlines()]


# ---- The report


def table(head: list[str], rows: list[list[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def answers(titles: dict[str, str], journal: list[Attempt]) -> str:
    counts = {what: Counter(attempt["status"] for attempt in journal if attempt["what"] == what) for what in titles}
    statuses = sorted({status for count in counts.values() for status in count})
    head = ["", "attempts", *(str(status) if status else "no answer" for status in statuses)]
    rows = [
        [title, counts[what].total(), *(counts[what][status] for status in statuses)] for what, title in titles.items()
    ]
    return table(head, rows)


def latencies(titles: dict[str, str], journal: list[Attempt]) -> str:
    rows = []
    for what, title in titles.items():
        seconds = [
            attempt["seconds"]
            for attempt in journal
            if attempt["what"] == what and not books.is_unknown(attempt) and not attempt["hung_up"]
        ]
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=100)
            rows.append([title, *(f"{cuts[percent - 1]:.2f} s" for percent in (50, 90, 99)), f"{max(seconds):.1f} s"])
    return table(["answered", "p50", "p90", "p99", "longest"], rows)


def busiest_minute(journal: list[Attempt]) -> int:
    return max(Counter(int(attempt["at"] // 60) for attempt in journal).values())


def sentences(*texts: str) -> str:
    return " ".join(text for text in texts if text)


def report(
    rooms: Rooms,
    journal: list[Attempt],
    seconds: float,
    injected: Counter[str],
    hit: list[str],
    balances: dict[str, list[Line]],
) -> str:
    balanced = not any(line.problems for lines in balances.values() for line in lines)
    outcome = "**The books balance**: nothing was lost, nothing doubled." if balanced else "**They do not balance.**"
    titles = {what: title for room in rooms.values() for what, title in room.TITLES.items()}
    settings = sentences(*(room.SETTINGS for room in rooms.values()))
    sections = [
        "# Load",
        f"""`make load` made this page on {time.strftime("%Y-%m-%d", time.gmtime())}. {outcome}""",
        sentences(
            f"{CLIENTS} clients, driven by [Locust](https://locust.io) (`load/locustfile.py`), sent the requests of students.",
            *(room.STORY for room in rooms.values()),
        ),
        """A client paused between its requests, except in the last 30 seconds of every two minutes. In one attempt of fifty it hung
up within two seconds. When it got no answer, a 429 or a 5xx, it tried again until there was an answer. Meanwhile functions were killed
and services refused requests, as listed below.""",
        f"""The local cloud ran `template.yaml` as stage `prod`, with IAM enforced, with the throttling of the APIs as deployed, and with debug
builds of the functions. One machine with {os.cpu_count()} cores ({platform.machine()}) ran everything: the cloud, which is one Python
process, the functions, the clients, the faults, and other work. So compare the times with each other, not with AWS.""",
        *([f"These settings differ from the template. {settings}"] if settings else []),
        "## The answers",
        answers(titles, journal),
        f"""{len(journal):,} attempts in {seconds / 60:.0f} minutes: {len(journal) / seconds:.0f} a second, {busiest_minute(journal):,} in the
busiest minute. Of {sum(map(books.is_unknown, journal)):,} attempts the client did not learn the outcome.""",
        latencies(titles, journal),
        "## The faults",
        table(["killed with SIGKILL", "processes"], [[name, count] for name, count in sorted(Counter(hit).items())]),
        table(["for 3 to 12 seconds each", "times"], [[name, count] for name, count in sorted(injected.items())]),
        "## The books",
        """When all requests had had their effect, everything was read and compared with the answers that the clients got: all that
the rooms keep, and the queues of failed messages.""",
    ]
    for title, lines in balances.items():
        sections.append(
            table(
                [title, "count", ""],
                [
                    [line.text, line.count, f"**{len(line.problems)} wrong**" if line.problems else "✓"]
                    for line in lines
                ],
            )
        )
    return "\n\n".join(sections) + "\n"


def main(page: Path) -> None:
    rooms: Rooms = room_modules.load(LOAD, "room")
    directory = Path(tempfile.mkdtemp(prefix=f"{NAME}-load-"))
    with up.deployed(directory, f"{NAME}-load", "prod"):
        stack = Stack(f"{NAME}-load")
        students = create_students(stack, max(room.STUDENTS for room in rooms.values()))
        for room in rooms.values():
            room.prepare(stack)
        finished, injected = Event(), Counter()
        functions = [function for room in rooms.values() for function in room.FUNCTIONS]
        begin = time.monotonic()
        with killed_at_random(stack, functions, chance.choice, seconds=15) as hit:
            possible = {name: outage for room in rooms.values() for name, outage in room.outages(stack, hit).items()}
            injector = Thread(target=lambda: injected.update(inject_outages(possible, finished)))
            injector.start()
            try:
                journal = run_clients(stack, rooms, students, directory)
            finally:
                seconds = time.monotonic() - begin
                finished.set()
                injector.join()
        settled = [attempt for room in rooms.values() for attempt in room.settle(stack, students)]
        balances = {name.title(): room.balance(stack, journal + settled, students) for name, room in rooms.items()}
        balances["Queues of failed messages"] = [
            books.nothing(f"messages in {queue.removesuffix('Url')}", range(count(stack, queue)))
            for queue in sorted(stack.outputs)
            if queue.startswith("Failed") and queue.endswith("QueueUrl")
        ]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(report(rooms, journal, seconds, injected, hit, balances))
    wrong = [(line.text, line.problems[:5]) for lines in balances.values() for line in lines if line.problems]
    for text, problems in wrong:
        print(f"{text}:", *problems, sep="\n  ")
    sys.exit(f"The books do not balance: {page}; the journal is {directory}/journal.jsonl" if wrong else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
