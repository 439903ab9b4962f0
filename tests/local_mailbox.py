"""The local mailbox, which receives all e-mails of the local cloud."""

from typing import Any

import requests
from stack import Stack


def mails_to(stack: Stack, address: str | None = None) -> list[dict[str, Any]]:
    """The e-mails to an address, or all of them, oldest first; the keys are `Subject`, `BodyText`, `To` and others."""
    endpoint = stack.client("sesv2").meta.endpoint_url
    accounts = requests.get(f"{endpoint}/_ministack/ses/messages", timeout=30).json()["messages"]
    mails = [mail for mails in accounts.values() for mail in mails]
    return [mail for mail in mails if address in (None, *mail["To"])]
