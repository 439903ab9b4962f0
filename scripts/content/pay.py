"""Announces that a student has paid the course fee, or no longer has: `make pay`."""

import argparse
import json
from datetime import datetime, timedelta, timezone

from stack import Stack, of_environment

SOURCE = "registrar.payments"
USUAL_DAYS = 90


def student_id(root: Stack, student: str) -> str:
    """The id of the student with this e-mail address; an id is returned as it is. Ends the program if there is none."""
    if "@" not in student:
        return student
    cognito = root.client("cognito-idp")
    try:
        user = cognito.admin_get_user(UserPoolId=root.outputs["UserPoolId"], Username=student.strip().lower())
    except cognito.exceptions.UserNotFoundException:
        raise SystemExit(f"No student of {root.name} has the address {student}.") from None
    attributes = {one["Name"]: one["Value"] for one in user["UserAttributes"]}
    return attributes["custom:student_id"]


def end(text: str) -> datetime:
    """A time by RFC 3339, or the last second of a day in UTC."""
    # Python 3.10 does not read Z.
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if "T" not in text:
        time += timedelta(days=1, seconds=-1)
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def in_rfc_3339(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def announce(root: Stack, kind: str, detail: dict[str, str]) -> None:
    """Puts an event on the school's bus, with the present time as its own."""
    entry = {
        "EventBusName": root.outputs["SchoolEventsName"],
        "Source": SOURCE,
        "DetailType": kind,
        "Detail": json.dumps(detail | {"occurred_at": in_rfc_3339(datetime.now(timezone.utc))}),
    }
    [answer] = root.client("events").put_events(Entries=[entry])["Entries"]
    if "ErrorCode" in answer:
        raise RuntimeError(f"{answer['ErrorCode']}: {answer['ErrorMessage']}")


def pay(root: Stack, student: str, until: datetime) -> None:
    announce(root, "PaymentRecorded", {"student_id": student, "paid_until": in_rfc_3339(until)})


def lapse(root: Stack, student: str) -> None:
    announce(root, "PaymentLapsed", {"student_id": student})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment")
    parser.add_argument("student", nargs="?", help="an e-mail address or a student id")
    parser.add_argument("--until", type=end, default=datetime.now(timezone.utc) + timedelta(days=USUAL_DAYS))
    parser.add_argument("--lapse", action="store_true")
    arguments = parser.parse_args()
    root = of_environment(arguments.environment)
    if not arguments.student:
        raise SystemExit("STUDENT is an e-mail address or a student id.")
    student = student_id(root, arguments.student)
    if arguments.lapse:
        lapse(root, student)
        print(f"Announced that the course fee of student {student} is no longer paid.")
    else:
        pay(root, student, arguments.until)
        print(f"Announced that the course fee of student {student} is paid until {in_rfc_3339(arguments.until)}.")


if __name__ == "__main__":
    main()
