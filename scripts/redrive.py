"""Sends failures again, such as batches and messages of dead-letter queues; scripts/<room>/redrive.py finds them.

Without --apply it shows what there is and changes nothing. A message or an object is deleted only after it has been
processed, so this may be killed and run again. Ends with 1 if something is left.
"""

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from failures import Found, Source
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from room_modules import load
from stack import of_environment


def look(everything: list[Source]) -> dict[str, Found]:
    with ThreadPoolExecutor(len(everything)) as pool:
        return dict(pool.map(lambda source: (source.name, source.look()), everything))


def lines(counts: Counter[str]) -> str:
    """A line for each reason, with the number of messages or records."""
    return "\n".join(f"{count} {what}" for what, count in counts.most_common())


def table_of(title: str, found: dict[str, Found]) -> Table:
    table = Table("", "waiting", "oldest", "why", title=title, title_justify="left", box=SIMPLE)
    for name, what in found.items():
        oldest = f"{what.oldest:%Y-%m-%d %H:%M}" if what.oldest else ""
        table.add_row(name, str(what.count), oldest, lines(what.reasons))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="local, dev or prod")
    parser.add_argument("--apply", action="store_true", help="send the failures; without this, they are only shown")
    parser.add_argument("--quarantine", action="store_true", help="also send quarantined records, after a fix")
    arguments = parser.parse_args()
    stack = of_environment(arguments.environment)
    everything = [source for room in load(Path(__file__).parent, "redrive").values() for source in room.sources(stack)]
    console = Console()

    found = look(everything)
    console.print(table_of("Waiting", found))
    chosen = [source for source in everything if not source.waits_for or arguments.quarantine]
    waiting = [source for source in chosen if found[source.name].count]
    if not waiting:
        console.print("Nothing to send.")
        return 0
    if not arguments.apply:
        console.print("Nothing has been changed. APPLY=1 sends them; QUARANTINE=1 also sends quarantined records.")
        return 0
    for source in waiting:
        if source.waits_for and found[source.waits_for].count:
            console.print(f"Nothing has been changed: send the {source.waits_for} first, without QUARANTINE=1.")
            return 1

    sent = Table("", "sent", "done", "failed", title="Sent", title_justify="left", box=SIMPLE)
    for source in waiting:
        before = found[source.name]
        outcomes = list(track(source.send(before), source.name, before.count, console=console))
        failures = Counter(failure for failure in outcomes if failure)
        sent.add_row(source.name, str(len(outcomes)), str(len(outcomes) - failures.total()), lines(failures))
    console.print(sent)
    left = look(waiting)
    console.print(table_of("Left", left))
    return 1 if any(what.count for what in left.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
