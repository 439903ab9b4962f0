"""The cost of the e-mails about a million appointments, and the rate at which each limit is reached."""

from typing import Any

from pricing import ASSUMED, GB, MILLION, PRICES, QUOTAS, Functions, Limit, cost_table, limits_table

ROOM = "reminders"
MEASURED = "archive"
"""The case that the figures are for."""

BOOKING = ("QueueReminders", ("eventbridge", "eventbridge"))
"""The invocation for a booking, with calls of SQS and EventBridge Scheduler, for which EventBridge stands."""
EMAIL = [
    ("SendReminder", ("dynamodb", "ses", "dynamodb")),
    ("SendReminder", ("dynamodb",)),
]
"""The invocations of an e-mail, for its message and for the event of SES, each with the services that it calls."""
# When it is booked, and the day before.
EMAILS = 2
# Three writes of the idempotency record.
WRITE_UNITS = 3 * EMAILS
# The slot is read before the reminder.
READ_UNITS = 1
# Send, receive and delete, for the message and for the event of SES.
QUEUE_REQUESTS = 6 * EMAILS


def appointments_cost(functions: Functions) -> dict[str, float]:
    """USD for a million appointments, part by part."""
    parts = {
        "Lambda": functions.cost(*BOOKING) + EMAILS * sum(functions.cost(*step) for step in EMAIL),
        "DynamoDB": WRITE_UNITS * PRICES["dynamodb_write_unit"] + READ_UNITS * PRICES["dynamodb_read_unit"],
        # The event of SES is on the default bus because a configuration set sends it there.
        "EventBridge": EMAILS * PRICES["event_opt_in"] + PRICES["scheduled_invocation"],
        "SQS": QUEUE_REQUESTS * PRICES["sqs_request"],
        "SES": EMAILS * PRICES["email"],
        "logs": (1 + EMAILS * len(EMAIL)) * ASSUMED["function_log_bytes"] / GB * PRICES["log_gb"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


LIMITS = [
    Limit("e-mails in the sandbox of SES", QUOTAS["emails_per_second"], lambda r: EMAILS * r, "a request to leave it"),
]


def sections(results: dict[str, Any]) -> list[str]:
    """The section of the page, from the measurements."""
    costs = {name: appointments_cost(Functions(ROOM, result)) for name, result in results[MEASURED].items()}
    return [
        "## The e-mails about a million appointments",
        cost_table(costs),
        "Where the limits are reached, in appointments a second:",
        limits_table(LIMITS),
    ]
