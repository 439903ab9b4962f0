"""Offers the slots of a CSV file, or, without one, some of the coming weeks for the advisors of the demonstration.

A line of the file is an advisor's hours of a day, by the clocks of a time zone: docs/appointments/offers.md. What is
offered already stays as it is.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from appointments.booking import SLOT, offer
from stack import Student, of_environment

FIELDS = ["advisor_id", "date", "from", "to", "minutes", "place", "time_zone"]
# The pages' own: web/school.js.
ADVISORS = ["ada-lovelace", "alan-turing", "grace-hopper"]
DEMONSTRATION_DAYS = 14
# A user of this command only, who is deleted when it ends.
STAFF = "offers@school.example"

Line = dict[str, str]


def instant(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """The time at which the clocks of a zone show this. Raises ``ValueError`` unless there is exactly one."""
    local = datetime.combine(day, datetime.strptime(clock, "%H:%M").time())
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1))
    if first.astimezone(zone).replace(tzinfo=None) != local:
        raise ValueError(f"there is no {clock} on {day} in {zone}: clocks are put forward")
    if first != second:
        raise ValueError(f"{clock} on {day} comes twice in {zone}: clocks are put back")
    return first


def slots_of(line: Line) -> list[datetime]:
    """The starts of a line's slots, one after the other. Raises ``ValueError`` for a line that makes no sense."""
    try:
        zone = ZoneInfo(line["time_zone"])
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{line['time_zone']} is no time zone such as Europe/Berlin") from error
    day, length = date.fromisoformat(line["date"]), timedelta(minutes=int(line["minutes"]))
    begin, end = (instant(day, line[name], zone) for name in ("from", "to"))
    if length <= timedelta() or begin + length > end:
        raise ValueError(f"no slot of {line['minutes']} minutes fits between {line['from']} and {line['to']}")
    return [begin + number * length for number in range((end - begin) // length)]


def read(file: Path) -> Iterator[tuple[int, Line]]:
    """The lines of a CSV file, with their numbers."""
    # Spreadsheets write a byte-order mark.
    with file.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, restkey="", restval="")
        if sorted(reader.fieldnames or []) != sorted(FIELDS):
            sys.exit(f"{file}: the first line has to be {','.join(FIELDS)}")
        for line in reader:
            yield reader.line_num, line


def demonstration() -> Iterator[tuple[int, Line]]:
    """Two hours of each advisor on the weekdays of the coming weeks."""
    hours = {"from": "10:00", "to": "12:00", "minutes": str(SLOT["duration_minutes"])}
    slot = hours | {name: str(SLOT[name]) for name in ("place", "time_zone")}
    days = [date.today() + timedelta(days=number + 1) for number in range(DEMONSTRATION_DAYS)]
    lines = [
        {"advisor_id": advisor, "date": str(day)} | slot for day in days if day.weekday() < 5 for advisor in ADVISORS
    ]
    yield from enumerate(lines, 1)


def offer_lines(staff: Student, lines: Iterable[tuple[int, Line]]) -> tuple[Counter[str], list[str]]:
    """Offers the slots of these lines; returns how many there were of each kind, and what is wrong with the others."""
    slots: Counter[str] = Counter()
    problems = []
    for number, line in lines:
        try:
            if "" in line:
                raise ValueError(f"more than {len(FIELDS)} values")
            starts = slots_of(line)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        for start in starts:
            if start <= datetime.now(timezone.utc):
                slots["already begun"] += 1
                continue
            answer = offer(
                staff,
                line["advisor_id"],
                start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                duration_minutes=int(line["minutes"]),
                place=line["place"],
                time_zone=line["time_zone"],
            )
            if answer.status_code not in (201, 409):
                problems.append(f"line {number}: {answer.status_code} {answer.text}")
                break
            slots["offered" if answer.status_code == 201 else "offered before"] += 1
    return slots, problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("environment")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    stack = of_environment(arguments.environment)
    lines = list(read(arguments.csv) if arguments.csv else demonstration())
    staff = stack.create_staff(STAFF)
    try:
        slots, problems = offer_lines(staff, lines)
    finally:
        stack.client("cognito-idp").admin_delete_user(UserPoolId=stack.outputs["UserPoolId"], Username=STAFF)
    kinds = ("offered", "offered before", "already begun")
    print(f"{len(lines)} lines: " + ", ".join(f"{slots[kind]} slots {kind}" for kind in kinds))
    if problems:
        sys.exit("\n".join([*problems, f"{len(problems)} lines are refused. Correct them, and offer the file again."]))


if __name__ == "__main__":
    main()
