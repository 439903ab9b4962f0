"""The cost of a million e-mails about new accounts, and the rate at which each limit is reached."""

from typing import Any

from pricing import ASSUMED, GB, MILLION, PRICES, QUOTAS, Functions, Limit, cost_table, limits_table

ROOM = "notifications"
MEASURED = "check-account"
"""The case that the figures are for."""

EMAIL = [
    ("SendNotification", ("dynamodb", "dynamodb", "ses", "dynamodb", "dynamodb")),
    ("SendNotification", ("dynamodb", "dynamodb")),
]
"""The invocations of an e-mail, for the account's event and for that of SES, each with the services that it calls."""
# The note that the student was told, and three writes of the idempotency record.
WRITE_UNITS = 4
READ_UNITS = 1
# Send, receive and delete, for each event.
QUEUE_REQUESTS = 6


def emails_cost(functions: Functions) -> dict[str, float]:
    """USD for a million e-mails, part by part."""
    parts = {
        "Lambda": sum(functions.cost(*step) for step in EMAIL),
        "DynamoDB": WRITE_UNITS * PRICES["dynamodb_write_unit"] + READ_UNITS * PRICES["dynamodb_read_unit"],
        # The event of SES is on the default bus because a configuration set sends it there.
        "EventBridge": PRICES["event_opt_in"],
        "SQS": QUEUE_REQUESTS * PRICES["sqs_request"],
        "SES": PRICES["email"],
        "logs": len(EMAIL) * ASSUMED["function_log_bytes"] / GB * PRICES["log_gb"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


LIMITS = [
    Limit("e-mails in the sandbox of SES", QUOTAS["emails_per_second"], lambda r: r, "a request to leave it"),
]


def sections(results: dict[str, Any]) -> list[str]:
    """The section of the page, from the measurements."""
    costs = {name: emails_cost(Functions(ROOM, result)) for name, result in results[MEASURED].items()}
    return [
        "## A million e-mails",
        cost_table(costs),
        "Where the limits are reached, in e-mails a second:",
        limits_table(LIMITS),
    ]
