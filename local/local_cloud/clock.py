"""The clock of CloudFront, its functions in Node and EMR Serverless, which a test moves ahead instead of waiting."""

import json
import time
from typing import Any

from ministack import app

PAGE = "/_local/clock"

ahead = 0.0
"""Seconds that this clock is ahead of the machine's."""


def now() -> float:
    """Seconds since 1970."""
    return time.time() + ahead


def install() -> None:
    handle_other_page = app._handle_ses_messages_request

    async def handle_page(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
        global ahead
        if path != PAGE:
            return await handle_other_page(method, path, headers, query)
        if "ahead" in query:
            ahead = float(query["ahead"][0])
        return 200, {"Content-Type": "application/json"}, json.dumps({"ahead": ahead, "now": now()}).encode()

    app._handle_ses_messages_request = handle_page
