"""The logs of send-notification when SES refuses: no personal data, and the metric of its alarm."""

from account_requests import queue_request, recognisable_account
from emails import wait_until_settled
from faults import denied
from log_lines import assert_nothing_personal_is_logged, counts, of_function
from rooms import Room
from stack import Stack, wait_until


def test_a_refusal_of_ses_is_logged_and_counted_without_personal_data(stack: Stack, impatient: None) -> None:
    alarm = Room("notifications").alarms["NotificationsHandedBackAlarm"]["Properties"]

    def has_failed() -> bool:
        return any("SES: AccessDenied" in message for message in of_function(stack, "send-notification"))

    with denied(stack, "send-notification", "ses:SendEmail"):
        assert queue_request(stack, recognisable_account()).status_code == 202
        wait_until(has_failed, "sending has failed")
        wait_until(lambda: counts(stack, "send-notification", alarm), "the metric is in the log")
    assert_nothing_personal_is_logged(stack)
    wait_until_settled(stack)
