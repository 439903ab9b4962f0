"""The cost of the e-mails of a million sign-ups, and the rate at which each limit is reached."""

from typing import Any

from measuring import OURS
from pricing import (
    ASSUMED,
    GB,
    MILLION,
    PRICES,
    QUOTAS,
    Limit,
    cold_seconds,
    cost_table,
    invocation_cost,
    limits_table,
    memory_size,
    seconds,
    setting,
)

ROOM = "notifications"
MEASURED = "check-account"
"""The case whose figures stand for each call of send-notification."""

# ---- How the system and its peers work

EMAIL = [("dynamodb", "dynamodb", "ses", "dynamodb", "dynamodb"), ("dynamodb", "dynamodb")]
"""The invocations for an e-mail, for the account's event and for that of SES, each with the services that it calls."""
# Three writes of the idempotency record, and the note that the student is told.
EMAIL_WRITE_UNITS = 4
EMAIL_READ_UNITS = 1
# Send, receive and delete, for each of the two events.
EMAIL_QUEUE_REQUESTS = 6


def durations(result: dict[str, Any]) -> list[float]:
    """Seconds of each invocation for an e-mail, warm."""
    waits = [sum(ASSUMED[f"{service}_seconds"] for service in services) for services in EMAIL]
    return [
        seconds(result, 1, memory_mb(result), wait, calls=len(services))
        for wait, services in zip(waits, EMAIL, strict=True)
    ]


def memory_mb(result: dict[str, Any]) -> int:
    return memory_size(result, int(setting(ROOM, "SendNotification", "MemorySize")))


def emails_cost(result: dict[str, Any]) -> dict[str, float]:
    """USD for the e-mails of a million sign-ups, part by part."""
    parts = {
        "Lambda": sum(
            invocation_cost(duration + cold_seconds(result), memory_mb(result)) for duration in durations(result)
        ),
        "DynamoDB": EMAIL_WRITE_UNITS * PRICES["dynamodb_write_unit"] + EMAIL_READ_UNITS * PRICES["dynamodb_read_unit"],
        # The event of SES is on the default bus because a configuration set sends it there.
        "EventBridge": PRICES["event_opt_in"],
        "SQS": EMAIL_QUEUE_REQUESTS * PRICES["sqs_request"],
        "SES": PRICES["email"],
        "logs": len(EMAIL) * ASSUMED["function_log_bytes"] / GB * PRICES["log_gb"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


def limits(result: dict[str, Any]) -> list[Limit]:
    return [
        Limit("e-mails in the sandbox of SES", QUOTAS["emails_per_second"], lambda r: r, "a request to leave it"),
        Limit(
            "concurrent executions",
            QUOTAS["lambda_concurrent_executions"],
            lambda r: r * sum(durations(result)),
            "Service Quotas",
        ),
    ]


def sections(results: dict[str, Any]) -> list[str]:
    """The section of the page, from the measurements."""
    return [
        "## The e-mails of a million sign-ups",
        cost_table({name: emails_cost(result) for name, result in results[MEASURED].items()}),
        "Where the limits are hit, in e-mails a second:",
        limits_table(limits(results[MEASURED][OURS])),
    ]
