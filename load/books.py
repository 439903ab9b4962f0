"""The books: the answers that clients got, compared with what the stack holds; each room has its own."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Item = dict[str, Any]
# A request and its answer, as a client wrote them into the journal.
Attempt = dict[str, Any]


@dataclass
class Line:
    """A line of the books, which balances if it has no problems."""

    text: str
    count: int
    problems: list[str] = field(default_factory=list)


def is_unknown(attempt: Attempt) -> bool:
    """Whether the client can't know the outcome: it got no answer, or one that says that something failed."""
    return attempt["status"] == 0 or attempt["status"] >= 500


def nothing(text: str, found: Iterable[Any]) -> Line:
    """A line that balances if nothing is found."""
    problems = [json.dumps(what) for what in found]
    return Line(text, len(problems), problems)
