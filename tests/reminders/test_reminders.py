"""One e-mail with a calendar file for each change of a student's appointment, and one the day before."""

import json
import time
from datetime import datetime, timezone

from faults import denied, environment, intercepted, kill_function
from log_lines import counts, of_function
from rooms import PROJECT, Room
from stack import Stack, wait_until
from told import Booker, calendar_of

# The number of changes begins with the seconds since 2026.
NEW_YEAR = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()


def test_each_change_is_told_once_with_a_calendar_file_that_follows_the_one_before(
    stack: Stack, booker: Booker
) -> None:
    starts_at = booker.offer(place="Room 5; süd, über dem Hof", duration_minutes=45)
    changes = [
        (lambda: booker.book(starts_at, topic="Which thesis?\r\nBcc: eve@school.example"), "Booked", "PUBLISH"),
        (lambda: booker.cancel(starts_at), "Cancelled", "CANCEL"),
        (lambda: booker.book(starts_at), "Booked", "PUBLISH"),
        (lambda: booker.withdraw(starts_at), "Cancelled by the school", "CANCEL"),
    ]
    events = []
    for number, (change, subject, method) in enumerate(changes, 1):
        change()
        mail = booker.wait_for_mails(number)[-1]
        assert mail["Subject"].startswith(f"{subject}: your appointment on ")
        calendar, media_type = calendar_of(mail)
        assert (str(calendar["METHOD"]), media_type) == (method, f"text/calendar; charset=UTF-8; method={method}")
        [event] = calendar.walk("VEVENT")
        assert str(event["STATUS"]) == ("CONFIRMED" if method == "PUBLISH" else "CANCELLED")
        assert event.start.strftime("%Y-%m-%dT%H:%M:%SZ") == starts_at
        assert (event.end - event.start).total_seconds() == 45 * 60
        assert str(event["LOCATION"]) == "Room 5; süd, über dem Hof"
        events.append(event)
    assert len({str(event["UID"]) for event in events}) == 1
    sequences = [event["SEQUENCE"] for event in events]
    assert sequences == sorted(set(sequences))
    texts = [mail["BodyText"] for mail in booker.mails()]
    assert "\nTopic: Which thesis? Bcc: eve@school.example\n" in texts[0]
    assert "(Europe/Berlin)\nWhere: Room 5; süd, über dem Hof\n" in texts[0]

    # Somebody needs seconds to offer it again, so the number of its changes rises further.
    wait_until(lambda: time.time() - NEW_YEAR > sequences[-1], "later than the last change")
    booker.offer_again(starts_at)
    booker.book(starts_at)
    [event] = calendar_of(booker.wait_for_mails(5)[-1])[0].walk("VEVENT")
    assert event["SEQUENCE"] > sequences[-1]
    assert str(event["UID"]) == str(events[0]["UID"])


def test_a_student_is_reminded_the_day_before_if_the_booking_has_not_changed(stack: Stack, booker: Booker) -> None:
    starts_at = booker.offer()
    booker.book(starts_at)
    booker.wait_for_mails(1)
    outdated = booker.wait_for_reminder()
    day_before = datetime.fromisoformat(starts_at.replace("Z", "+00:00")).timestamp() - 24 * 60 * 60
    at = datetime.fromtimestamp(day_before, timezone.utc)
    assert booker.schedule(outdated)["ScheduleExpression"] == f"at({at:%Y-%m-%dT%H:%M:%S})"
    booker.cancel(starts_at)
    booker.book(starts_at)
    booker.wait_for_mails(3)
    wait_until(lambda: len(booker.reminders()) == 2, "another reminder is scheduled")
    [current] = set(booker.reminders()) - {outdated}
    booker.run_reminder_now(outdated)
    booker.run_reminder_now(current)
    assert booker.wait_for_mails(4)[-1]["Subject"].startswith("Reminder: your appointment on ")


def test_the_canary_is_told_nothing(stack: Stack, booker: Booker) -> None:
    slot = {"advisor_id": "canary", "starts_at": f"2030-01-01T00:00:00.{booker.advisor}", "student_id": "canary"}
    item = {name: {"S": value} for name, value in (slot | {"student_email": booker.email}).items()}
    slots = {"TableName": stack.outputs["SlotsTableName"]}
    stack.client("dynamodb").put_item(**slots, Item=item)
    stack.client("dynamodb").delete_item(**slots, Key={name: item[name] for name in ("advisor_id", "starts_at")})
    booker.book(booker.offer())
    assert booker.wait_for_mails(1)[0]["Subject"].startswith("Booked: ")


def test_a_batch_that_comes_again_tells_nothing_again(stack: Stack, booker: Booker) -> None:
    event = (PROJECT / "events/reminders/queue-reminders.json").read_text()
    event = event.replace("ada@school.example", booker.email).replace("ada-lovelace", booker.advisor)
    function = stack.outputs["QueueRemindersFunctionName"]
    for _ in range(3):
        answer = stack.client("lambda").invoke(FunctionName=function, Payload=event)
        assert json.loads(answer["Payload"].read()) == {"batchItemFailures": []}
    booker.wait_for_mails(2)
    assert len(booker.reminders()) == 1


def test_an_outage_of_ses_delays_the_e_mail_and_is_counted(stack: Stack, booker: Booker) -> None:
    alarm = Room("reminders").alarms["RemindersHandedBackAlarm"]["Properties"]

    def refusals() -> int:
        return sum("SES: AccessDenied" in message for message in of_function(stack, "send-reminder"))

    before = refusals()
    with denied(stack, "send-reminder", "ses:SendEmail"):
        booker.book(booker.offer())
        wait_until(lambda: refusals() > before, "the first attempt has failed")
        wait_until(lambda: counts(stack, "send-reminder", alarm), "the metric is in the log")
        assert booker.mails() == []
    booker.wait_for_mails(1)


def test_an_e_mail_whose_sender_died_is_not_sent_again(stack: Stack, booker: Booker) -> None:
    killed = []

    def kill(operation: str) -> None:
        if not killed:
            killed.append(kill_function(f"{stack.name}-send-reminder"))

    with (
        intercepted(lambda operation: True, kill) as url,
        environment(stack, "send-reminder", AWS_ENDPOINT_URL_SESV2=url),
    ):
        booker.book(booker.offer())
        booker.wait_for_mails(1)
    assert sum(killed) >= 1


def test_a_change_whose_function_died_is_told_once(stack: Stack, booker: Booker) -> None:
    killed = []

    def kill(operation: str) -> None:
        if not killed:
            killed.append(kill_function(f"{stack.name}-queue-reminders"))

    with (
        intercepted(lambda operation: True, kill) as url,
        environment(stack, "queue-reminders", AWS_ENDPOINT_URL_SQS=url),
    ):
        booker.book(booker.offer())
        booker.wait_for_reminder()
        booker.wait_for_mails(1)
    assert sum(killed) >= 1
