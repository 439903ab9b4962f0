"""The slots of the load: for the clients, which book them, and for the room, which offers them before."""

import time


def offered(number: int, count: int) -> dict[str, str]:
    """One of so many slots.

    An advisor has one a day, at a minute of the advisor's own, so that no student reaches a limit.
    """
    advisors = max(1, count // 500)
    day, advisor = divmod(number, advisors)
    begin = time.gmtime(2_000_000_000 // 86400 * 86400 + 86400 * day + 60 * advisor)
    return {"advisor_id": f"advisor-{advisor}", "starts_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", begin)}
