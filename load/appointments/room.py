"""The load on appointments."""

import calendar
import contextlib
import json
import os
import time
from collections import Counter

import books
from appointments.agreement import disagreements
from appointments.archive import Archive
from appointments.booking import book
from appointments.books import Row, appointments
from appointments.offers import offered
from books import Attempt, Line
from deployed import physical_ids
from faults import denied, denied_to_role, put_object_refused
from outages import Outages, throttled_functions
from stack import Stack, wait_until

BOOKINGS = int(os.environ["BOOKINGS"])
STUDENTS = min(500, max(3, BOOKINGS))
SECONDS_TO_SETTLE = 1800
# It books and cancels by itself, every quarter of an hour.
CANARY = "canary"
LAST = {"advisor_id": "last", "starts_at": "2033-05-17T00:00:00Z"}

TITLES = {"book": "`PUT /appointments/…`", "cancel": "`DELETE /appointments/…`"}
FUNCTIONS = ["archive-appointments", "audit-archive"]
STORY = (
    f"{STUDENTS} students booked {BOOKINGS:,} slots. A second student wanted one slot in twenty. One booking in ten was "
    "cancelled, and one in five of these slots was booked again. Some bookings and cancellations were repeated."
)
SETTINGS = ""


def prepare(stack: Stack) -> None:
    """Offers the slots, as the API would."""
    slots = [LAST, *(offered(number, BOOKINGS) for number in range(BOOKINGS))]
    dynamodb, table = stack.client("dynamodb"), stack.outputs["SlotsTableName"]
    puts = [
        {
            "PutRequest": {
                "Item": {
                    **{name: {"S": value} for name, value in slot.items()},
                    "free_at": {"S": slot["starts_at"]},
                    "place": {"S": "Room 101"},
                    "time_zone": {"S": "Europe/Berlin"},
                    "duration_minutes": {"N": "30"},
                    "starts": {"N": str(calendar.timegm(time.strptime(slot["starts_at"], "%Y-%m-%dT%H:%M:%SZ")))},
                }
            }
        }
        for slot in slots
    ]
    for first in range(0, len(puts), 25):
        dynamodb.batch_write_item(RequestItems={table: puts[first : first + 25]})


def outages(stack: Stack, hit: list[str]) -> Outages:
    api = physical_ids(stack, "appointments")["ApiRole"]
    return {
        "S3 refuses the archive's objects": lambda: put_object_refused(stack, "appointments/", "ArchiveBucketName"),
        "`archive-appointments` may not read the stream": lambda: denied(
            stack, "archive-appointments", "dynamodb:GetRecords"
        ),
        "DynamoDB refuses the API's bookings": lambda: denied_to_role(stack, api, "dynamodb:PutItem"),
        "DynamoDB refuses the API's cancellations": lambda: denied_to_role(stack, api, "dynamodb:DeleteItem"),
        "DynamoDB refuses what the API changes with them": lambda: denied_to_role(stack, api, "dynamodb:UpdateItem"),
        **throttled_functions(stack, ["archive-appointments"]),
    }


def settle(stack: Stack, students: list[dict[str, str]]) -> list[Attempt]:
    """Books once more. The local cloud's stream has one shard: all changes before it are archived before it."""
    archive = Archive(stack)
    book(stack.sign_in(students[0]["email"]), **LAST).raise_for_status()

    def last_is_archived() -> bool:
        time.sleep(2)
        return archive.query("SELECT count(*) FROM archive WHERE advisor_id = 'last'").fetchone() > (0,)

    def ledger_is_complete() -> bool:
        [archived] = archive.query("SELECT count(*) FROM archive").fetchone()
        return archived == sum(int(item["row_count"]["N"]) for item in stack.items("LedgerTableName"))

    wait_until(last_is_archived, "the last booking is archived", SECONDS_TO_SETTLE)
    with contextlib.suppress(TimeoutError):
        # Otherwise, the books say so.
        wait_until(ledger_is_complete, "the ledger has every row of the archive")
    return [{"what": "book", **LAST, "student_id": students[0]["student_id"], "status": 201}]


def archived_rows(archive: Archive) -> list[Row]:
    rows = archive.query(
        """SELECT event_id, event_name, sequence_number::HUGEINT, advisor_id,
        strftime(starts_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ'), student_id, new_image, old_image FROM archive"""
    ).fetchall()
    return [Row(*row[:6], *(image and json.loads(image) for image in row[6:])) for row in rows]


def balance(stack: Stack, journal: list[Attempt], students: list[dict[str, str]]) -> list[Line]:
    archive = Archive(stack)
    slots, booked, months = (
        [item for item in stack.items(f"{name}TableName") if {"S": CANARY} not in item.values()]
        for name in ("Slots", "Appointments", "StudentMonths")
    )
    rows, objects = archived_rows(archive), archive.objects()
    ledger = stack.items("LedgerTableName")
    in_ledger = sum(int(item["row_count"]["N"]) for item in ledger)
    known = Counter(item["object_key"]["S"] for item in ledger)
    return [
        *appointments(
            journal,
            booked,
            [row for row in rows if row.advisor_id != CANARY],
        ),
        Line("slots, each taken exactly if it is booked, and counted in its student's month", len(slots),
             list(disagreements(slots, booked, months))),
        Line("rows that the ledger counts, as many as the archive has", in_ledger,
             [] if in_ledger == len(rows) else [f"the archive has {len(rows)}"]),
        Line("objects in the ledger, each object of the archive once", known.total(),
             [f"{key}: {known[key]}" for key in known.keys() | objects.keys()
              if (known[key], key in objects) != (1, True)]),
        books.nothing("objects in quarantine", archive.quarantine()),
        books.nothing("failed batches", stack.objects("", "FailedBatchesBucketName")),
    ]  # fmt: skip
