"""`make load`: a local cloud of its own, clients who book and sign up, faults meanwhile; then books and a report."""

import contextlib
import json
import os
import platform
import random
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread
from typing import Any

import books
import up
from books import Line, Row, User
from faults import (
    denied,
    denied_to_role,
    environment,
    intercepted,
    kill_function,
    killed_at_random,
    put_object_refused,
)
from local_mailbox import mails_to
from stack import Stack, wait_until

PROJECT = Path(__file__).parent.parent
REPORT = PROJECT / "docs/load.md"
BOOKINGS = int(os.environ["BOOKINGS"])
SIGN_UPS = int(os.environ["SIGN_UPS"])
STUDENTS = 500
CLIENTS = 16
SEED = 8
SECONDS_TO_SETTLE = 1800
# It books and cancels by itself, every quarter of an hour.
CANARY = "canary"

WORKFLOW_FUNCTIONS = ["validate-account", "check-account", "create-account", "notify-student"]
QUEUE_FUNCTIONS = ["start-account-workflow", "send-notification"]
ARCHIVE_FUNCTIONS = ["archive-appointments", "audit-archive"]
QUEUES = ["AccountRequestsQueueUrl", "NotificationsQueueUrl"]
FAILURE_QUEUES = [
    "FailedAccountRequestsQueueUrl",
    "FailedNotificationsQueueUrl",
    "FailedBatchesQueueUrl",
    "FailedAuditsQueueUrl",
]
# What a function does that another has to find as it was left.
WRITES = ("TransactWriteItems", "PutItem", "UpdateItem", "AdminCreateUser", "AdminSetUserPassword", "outbound-emails")

chance = random.Random(SEED)


# ---- Before: students, and a cloud that does not wait as long as AWS does


def create_students(stack: Stack) -> list[dict[str, str]]:
    """Users who can sign in, without accounts: those are what others sign up for."""
    cognito, pool = stack.client("cognito-idp"), stack.outputs["UserPoolId"]
    students = []
    for number in range(STUDENTS):
        email, student_id = f"booking-{number}@school.example", str(uuid.uuid4())
        attributes = [{"Name": "custom:student_id", "Value": student_id}]
        cognito.admin_create_user(UserPoolId=pool, Username=email, UserAttributes=attributes, MessageAction="SUPPRESS")
        password = f"Aa1-{secrets.token_urlsafe(24)}"
        cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
        students.append({"email": email, "student_id": student_id, "password": password})
    return students


def make_impatient(stack: Stack) -> None:
    """Messages come again after a minute, not six, and no function has more processes than a small machine can run."""
    sqs, functions = stack.client("sqs"), stack.client("lambda")
    for queue, seconds in zip(QUEUES, ("60", "15"), strict=True):
        sqs.set_queue_attributes(QueueUrl=stack.outputs[queue], Attributes={"VisibilityTimeout": seconds})
    for function in WORKFLOW_FUNCTIONS:
        functions.put_function_concurrency(FunctionName=f"{stack.name}-{function}", ReservedConcurrentExecutions=16)


# ---- Meanwhile: faults


@contextmanager
def throttled(stack: Stack, function: str) -> Iterator[None]:
    """No execution is left for the function."""
    functions, name = stack.client("lambda"), f"{stack.name}-{function}"
    before = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        if before is None:
            functions.delete_function_concurrency(FunctionName=name)
        else:
            functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before)


@contextmanager
def killed_at_writes(stack: Stack, function: str, hit: list[str], *services: str) -> Iterator[None]:
    """Kills the function right before or right after some of the writes that it asks these services for."""

    def survives(operation: str) -> bool:
        met = operation.rpartition("/")[2] in WRITES and chance.random() < 0.1
        if met:
            hit.extend([f"{function}, at a write"] * kill_function(f"{stack.name}-{function}"))
        return not met

    with (
        intercepted(survives, survives) as url,
        environment(stack, function, **{f"AWS_ENDPOINT_URL_{service}": url for service in services}),
    ):
        yield


def outages(stack: Stack, hit: list[str]) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """What can go wrong, by what the report calls it."""
    resource = stack.client("cloudformation").describe_stack_resource(StackName=stack.name, LogicalResourceId="ApiRole")
    api = resource["StackResourceDetail"]["PhysicalResourceId"]
    crashing = {
        "create-account": ("DYNAMODB", "COGNITO_IDENTITY_PROVIDER"),
        "notify-student": ("DYNAMODB",),
        "send-notification": ("DYNAMODB", "SESV2"),
    }
    return {
        "S3 refuses the archive's objects": lambda: put_object_refused(stack, "appointments/"),
        "`archive-appointments` may not read the stream": lambda: denied(
            stack, "archive-appointments", "dynamodb:GetRecords"
        ),
        "DynamoDB refuses the API's bookings": lambda: denied_to_role(stack, api, "dynamodb:UpdateItem"),
        "DynamoDB refuses the API's cancellations": lambda: denied_to_role(stack, api, "dynamodb:DeleteItem"),
        "Step Functions refuses the API": lambda: denied_to_role(stack, api, "states:StartSyncExecution"),
        "SQS refuses the API": lambda: denied_to_role(stack, api, "sqs:SendMessage"),
        "DynamoDB refuses `create-account`": lambda: denied(stack, "create-account", "dynamodb:*"),
        "Cognito refuses `create-account`": lambda: denied(stack, "create-account", "cognito-idp:*"),
        "EventBridge refuses `notify-student`": lambda: denied(stack, "notify-student", "events:PutEvents"),
        "SES refuses `send-notification`": lambda: denied(stack, "send-notification", "ses:SendEmail"),
        **{
            f"`{function}` is throttled": lambda function=function: throttled(stack, function)
            for function in ("archive-appointments", *WORKFLOW_FUNCTIONS, *QUEUE_FUNCTIONS)
        },
        **{
            f"`{function}` dies at writes": lambda function=function, services=services: killed_at_writes(
                stack, function, hit, *services
            )
            for function, services in crashing.items()
        },
    }


def inject_outages(stack: Stack, hit: list[str], finished: Event) -> Counter[str]:
    """One outage after the other, each for some seconds, until the clients have finished."""
    injected: Counter[str] = Counter()
    possible = outages(stack, hit)
    waiting: list[str] = []
    while not finished.wait(chance.uniform(10, 30)):
        waiting = waiting or chance.sample(list(possible), len(possible))
        name = waiting.pop()
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        with possible[name]():
            finished.wait(chance.uniform(3, 12))
        injected[name] += 1
    return injected


def run_clients(stack: Stack, students: list[dict[str, str]], directory: Path) -> list[dict[str, Any]]:
    """Runs Locust to the end of its plan; the journal of all attempts."""
    plan = {
        "students": students,
        "bookings": BOOKINGS,
        "sign_ups": SIGN_UPS,
        "seed": SEED,
        "client_id": stack.outputs["UserPoolClientId"],
        "cognito_url": os.environ["AWS_ENDPOINT_URL"],
    }
    (directory / "plan.json").write_text(json.dumps(plan))
    journal = directory / "journal.jsonl"
    variables = os.environ | {"PLAN": str(directory / "plan.json"), "JOURNAL": str(journal)}
    command = [sys.executable, "-m", "locust", "-f", str(PROJECT / "load/locustfile.py"), "--headless"]
    command += ["--users", str(CLIENTS), "--spawn-rate", "10", "--host", stack.api_url, "--only-summary"]
    # Faults are meant to fail requests; the books say whether it matters.
    command += ["--exit-code-on-error", "0"]
    subprocess.run(command, env=variables, check=True)
    return [json.loads(line) for line in journal.read_text().splitlines()]


# ---- After: wait until it has settled, and count


def messages_in(stack: Stack, output: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[output], AttributeNames=names)
    return sum(int(count) for count in attributes["Attributes"].values())


def scan(stack: Stack, output: str) -> list[dict[str, Any]]:
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs[output])
    return [item for page in pages for item in page["Items"]]


def archived(stack: Stack) -> int:
    [count] = stack.query_archive("SELECT count(*) FROM archive").fetchone()
    return count


def ledger_rows(stack: Stack) -> int:
    return sum(int(item["row_count"]["N"]) for item in scan(stack, "LedgerTableName"))


def settle(stack: Stack) -> dict[str, Any]:
    """Waits until all that was asked for has come to its end; the attempt to book that was the last of all."""
    student = stack.create_student("last@school.example")
    slot = {"advisor_id": "last", "starts_at": "2033-05-18T00:00:00Z"}
    answer = student.book(**slot)
    answer.raise_for_status()

    def last_is_archived() -> bool:
        time.sleep(2)
        [count] = stack.query_archive("SELECT count(*) FROM archive WHERE advisor_id = 'last'").fetchone()
        return count > 0

    def all_are_told() -> bool:
        time.sleep(5)
        return not any(messages_in(stack, queue) for queue in QUEUES) and not any(
            "unfinished" in item or ("email" in item and "notified_at" not in item)
            for item in scan(stack, "AccountsTableName")
        )

    # The local cloud's stream has one shard: what was written before it is archived before it.
    wait_until(last_is_archived, "the last booking is archived", SECONDS_TO_SETTLE)
    wait_until(all_are_told, "all accounts are finished, and their students told", SECONDS_TO_SETTLE)
    with contextlib.suppress(TimeoutError):
        # If it doesn't, the books say so.
        wait_until(lambda: ledger_rows(stack) == archived(stack), "the ledger has every row of the archive")
    [item] = [item for item in scan(stack, "AppointmentsTableName") if item["advisor_id"]["S"] == "last"]
    return {"what": "book", **slot, "student_id": item["student_id"]["S"], "status": 201}


def archive_rows(stack: Stack) -> list[Row]:
    rows = stack.query_archive(
        """SELECT event_id, event_name, sequence_number::HUGEINT, advisor_id,
        strftime(starts_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ'), student_id, new_image, old_image FROM archive"""
    ).fetchall()
    return [Row(*row[:6], *(image and json.loads(image) for image in row[6:])) for row in rows]


def users(stack: Stack, students: list[dict[str, str]]) -> list[User]:
    """The users that the workflow has made."""
    pages = stack.client("cognito-idp").get_paginator("list_users").paginate(UserPoolId=stack.outputs["UserPoolId"])
    found = []
    for page in pages:
        for user in page["Users"]:
            attributes = {attribute["Name"]: attribute["Value"] for attribute in user["Attributes"]}
            found.append(User(attributes["email"], attributes.get("custom:student_id", ""), user["UserStatus"]))
    prepared = {student["email"] for student in students} | {"last@school.example"}
    return [user for user in found if user.email not in prepared]


def all_books(stack: Stack, journal: list[dict[str, Any]], students: list[dict[str, str]]) -> dict[str, list[Line]]:
    rows = archive_rows(stack)
    objects = stack.objects("appointments/")
    ledger = scan(stack, "LedgerTableName")
    in_ledger = sum(int(item["row_count"]["N"]) for item in ledger)
    known = Counter(item["object_key"]["S"] for item in ledger)
    mails = Counter(
        address for mail in mails_to(stack) if mail["Subject"] == "Your account at school" for address in mail["To"]
    )
    return {
        "Appointments": [
            *books.appointments(
                journal,
                [item for item in scan(stack, "AppointmentsTableName") if item["advisor_id"]["S"] != CANARY],
                [row for row in rows if row.advisor_id != CANARY],
            ),
            Line("rows that the ledger counts, as many as the archive has", in_ledger,
                 [] if in_ledger == len(rows) else [f"the archive has {len(rows)}"]),
            Line("objects in the ledger, each object of the archive once", known.total(),
                 [f"{key}: {known[key]}" for key in known.keys() | objects.keys()
                  if (known[key], key in objects) != (1, True)]),
            books.nothing("objects in quarantine", stack.objects("quarantine/")),
            books.nothing("failed batches", stack.objects(bucket="FailedBatchesBucketName")),
        ],
        "Accounts": books.accounts(journal, scan(stack, "AccountsTableName"), users(stack, students), mails),
        "Queues of failed messages": [
            books.nothing(f"messages in {queue.removesuffix('Url')}", range(messages_in(stack, queue)))
            for queue in FAILURE_QUEUES
        ],
    }  # fmt: skip


# ---- The report


TITLES = {
    "book": "`POST /appointments`",
    "cancel": "`DELETE /appointments/…`",
    "open": "`POST /accounts`",
    "request": "`POST /account-requests`",
}


def table(head: list[str], rows: list[list[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def answers(journal: list[dict[str, Any]]) -> str:
    counts = {what: Counter(attempt["status"] for attempt in journal if attempt["what"] == what) for what in TITLES}
    statuses = sorted({status for count in counts.values() for status in count})
    head = ["", "attempts", *(str(status) if status else "no answer" for status in statuses)]
    rows = [
        [title, counts[what].total(), *(counts[what][status] for status in statuses)] for what, title in TITLES.items()
    ]
    return table(head, rows)


def latencies(journal: list[dict[str, Any]]) -> str:
    rows = []
    for what, title in TITLES.items():
        seconds = [
            attempt["seconds"]
            for attempt in journal
            if attempt["what"] == what and not books.is_unknown(attempt) and not attempt["hung_up"]
        ]
        cuts = quantiles(seconds, n=100)
        rows.append([title, *(f"{cuts[percent - 1]:.2f} s" for percent in (50, 90, 99)), f"{max(seconds):.1f} s"])
    return table(["answered", "p50", "p90", "p99", "longest"], rows)


def busiest_minute(journal: list[dict[str, Any]]) -> int:
    return max(Counter(int(attempt["at"] // 60) for attempt in journal).values())


def report(
    journal: list[dict[str, Any]],
    seconds: float,
    injected: Counter[str],
    hit: list[str],
    accounts: dict[str, list[Line]],
) -> str:
    balanced = not any(line.problems for lines in accounts.values() for line in lines)
    statuses = Counter((attempt["what"], attempt["status"]) for attempt in journal)
    outcome = "**The books balance**: nothing is lost, nothing is doubled." if balanced else "**They do not balance.**"
    sections = [
        "# Load",
        f"""`make load BOOKINGS={BOOKINGS} SIGN_UPS={SIGN_UPS}` made this page on {time.strftime("%Y-%m-%d", time.gmtime())}.
{outcome}""",
        f"""{CLIENTS} clients, driven by [Locust](https://locust.io) (`load/locustfile.py`), booked {BOOKINGS:,} slots with the tokens of
{STUDENTS} students of the user pool, and {SIGN_UPS:,} students signed up, half of them at each route. A second student wanted one slot
in twenty; one booking in ten was cancelled, and some of those slots were booked again; some bookings, cancellations and sign-ups were
repeated. Clients paused between requests, except in the last 30 seconds of every two minutes. In one attempt of
fifty, the client closed the connection within two seconds. After no answer, a 429 or a 5xx, the client tried again until it got another answer.
Meanwhile, functions were killed and services refused requests, as listed below.""",
        f"""The local cloud ran `template.yaml` as stage `prod`, with IAM enforced and the API's throttling as deployed, and debug builds of the
functions. One machine with {os.cpu_count()} cores ({platform.machine()}) did everything: the cloud, which is one Python process, the
functions, the clients, the faults, and other work. So the times compare with each other, not with AWS. Three settings differ from the
template: messages are delivered again after a minute or less, an e-mail's record is in progress for five minutes, and each function of the workflow
has at most sixteen concurrent executions.""",
        "## The clients' answers",
        answers(journal),
        f"""{len(journal):,} attempts in {seconds / 60:.0f} minutes: {len(journal) / seconds:.0f} a second, {busiest_minute(journal):,} in the
busiest minute. {statuses["book", 201]:,} bookings, {statuses["cancel", 204]:,} cancellations, {statuses["open", 201]:,} sign-ups and
{statuses["request", 202]:,} queued ones were accepted. Of {sum(map(books.is_unknown, journal)):,} attempts, the client did not learn the
result.""",
        latencies(journal),
        "## The faults",
        table(["killed with SIGKILL", "processes"], [[name, count] for name, count in sorted(Counter(hit).items())]),
        table(["for 3 to 12 seconds each", "times"], [[name, count] for name, count in sorted(injected.items())]),
        "## The books",
        """After the stream was archived and the queues were empty, the test read everything: the table, each row of each object, the ledger, the accounts, the
pool's users, the mailbox. It made one booking after all others. Bookings of the canary are left out.""",
    ]
    for title, lines in accounts.items():
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


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="registrar-load-"))
    with up.deployed(directory, "registrar-load", "prod"):
        stack = Stack("registrar-load")
        students = create_students(stack)
        make_impatient(stack)
        finished, injected = Event(), Counter()
        functions = WORKFLOW_FUNCTIONS + QUEUE_FUNCTIONS + ARCHIVE_FUNCTIONS
        begin = time.monotonic()
        with (
            environment(stack, "send-notification", IN_PROGRESS_SECONDS="300"),
            killed_at_random(stack, functions, chance.choice, seconds=15) as hit,
        ):
            injector = Thread(target=lambda: injected.update(inject_outages(stack, hit, finished)))
            injector.start()
            try:
                journal = run_clients(stack, students, directory)
            finally:
                seconds = time.monotonic() - begin
                finished.set()
                injector.join()
        journal_with_last = [*journal, settle(stack)]
        accounts = all_books(stack, journal_with_last, students)
        REPORT.write_text(report(journal, seconds, injected, hit, accounts))
        wrong = [(line.text, line.problems[:5]) for lines in accounts.values() for line in lines if line.problems]
        for text, problems in wrong:
            print(f"{text}:", *problems, sep="\n  ")
    sys.exit(f"The books do not balance: {REPORT}; the journal is {directory}/journal.jsonl" if wrong else 0)


if __name__ == "__main__":
    main()
