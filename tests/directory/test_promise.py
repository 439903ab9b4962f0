"""The promise of the cache, kept by the deployed function and containers with a reader that is behind.

READS says how many reads there are, during a fiftieth as many writes. `make promise` makes 10,000.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
from deployed_directory import BROKEN, Directory
from faults import send_signal
from local_cloud.faults import Faults

READS = int(os.environ.get("READS", "2000"))
READS_PER_WRITE = 50
DELAY_MS = 1500
ADVISORS = 3
CLIENTS = 8
# Changes come in a part of it. Five seconds after the last one, the reader is asked again.
PERIOD_SECONDS = 10
UNREACHED = "directory; fwd=method; detail=unreached"


class Advisor:
    """An advisor whose names count the changes, and what everyone may rely on."""

    def __init__(self, directory: Directory, number: int) -> None:
        self.directory = directory
        self.id = f"promised-{number}"
        self.attempted = 0
        self.changing = threading.Lock()
        self.answered = 0
        """The last change that was answered, and that the cache knows."""

    def entry(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "given_name": "Promised",
            "family_name": str(self.attempted),
            "email": f"{self.id}@school.example",
            "departments": ["law"],
        }

    def course(self) -> dict[str, Any]:
        return {
            "id": f"by-{self.id}",
            "title": f"Taught by {self.id}",
            "description": "An answer that changes with its advisor.",
            "credits": 1,
            "department": "law",
            "advisors": [self.id],
        }

    def change(self) -> str:
        self.attempted += 1
        answer = self.directory.replace("advisors", self.entry())
        if answer.status_code != 200:
            assert answer.status_code in BROKEN, answer.text
            return "not answered"
        if answer.headers.get("Cache-Status") == UNREACHED:
            return "not known to the cache"
        self.answered = self.attempted
        return "answered"

    def read(self, chance: random.Random) -> tuple[str, int] | None:
        """Reads one of the answers that have the advisor's name; returns its path and the change that it shows."""
        get = chance.choice([self.directory.function, self.directory.container])
        # With many limits, so that there are always answers that no cache has.
        limit = chance.randint(ADVISORS, 100)
        path = chance.choice(
            [
                f"/advisors/{self.id}",
                f"/courses/by-{self.id}",
                f"/advisors?q={self.id}&limit={limit}",
                f"/advisors?q=promised&limit={limit}",
            ]
        )
        answer = get(path)
        if answer.status_code != 200:
            assert answer.status_code in BROKEN, answer.text
            return None
        return path, int(self._found(answer)["family_name"])

    def _found(self, answer: requests.Response) -> dict[str, Any]:
        body = answer.json()
        [found] = [one for one in body.get("advisors", [body]) if one["id"] == self.id]
        return found


@contextmanager
def frozen_and_killed(directory: Directory, seed: int) -> Iterator[Counter[str]]:
    """Freezes processes of the function for up to half a second each, and kills some, at moments chosen at random."""
    chance, over, done = random.Random(seed), threading.Event(), Counter()

    def disturb() -> None:
        while not over.wait(chance.uniform(0.1, 0.4)):
            for process in directory.function_processes():
                if chance.random() < 0.1:
                    done["killed"] += send_signal(process, signal.SIGKILL)
                elif send_signal(process, signal.SIGSTOP):
                    over.wait(chance.uniform(0, 0.5))
                    done["frozen"] += send_signal(process, signal.SIGCONT)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        yield done
    finally:
        over.set()
        disturbing.join()


def searches_by_reader(directory: Directory, faults: Faults) -> int:
    """The searches for advisors that the database's reader has done."""
    with directory.superuser(faults.servers()[directory.reader]) as cursor:
        cursor.execute("SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname = 'advisors'")
        return cursor.fetchone()[0]


@pytest.mark.large
def test_no_read_is_older_than_an_answered_write(directory: Directory, local_cloud: None) -> None:
    """While the reader is 1.5 s behind, and the function's processes are frozen and killed."""
    faults, seed = Faults(os.environ["AWS_ENDPOINT_URL"]), random.randrange(2**32)
    advisors = [Advisor(directory, number) for number in range(ADVISORS)]
    writes, reads, older, counting = Counter(), Counter(), [], threading.Lock()

    def work(number: int) -> None:
        chance = random.Random(seed + number)
        while reads["answered"] < READS:
            advisor = chance.choice(advisors)
            is_due = writes["answered"] * READS_PER_WRITE < reads["answered"]
            is_quiet = (time.monotonic() - started) % PERIOD_SECONDS > PERIOD_SECONDS / 4
            if is_due and not is_quiet and advisor.changing.acquire(blocking=False):
                outcome = advisor.change()
                advisor.changing.release()
                with counting:
                    writes[outcome] += 1
                continue
            promised = advisor.answered
            found = advisor.read(chance)
            with counting:
                reads["answered" if found else "not answered"] += 1
            if found and found[1] < promised:
                older.append((found[0], found[1], promised))

    with ExitStack() as entries:
        for advisor in advisors:
            entries.enter_context(directory.entry("advisors", advisor.entry()))
            entries.enter_context(directory.entry("courses", advisor.course()))
        faults.delay_replay(directory.reader, DELAY_MS)
        asked_before = searches_by_reader(directory, faults)
        started = time.monotonic()
        try:
            with frozen_and_killed(directory, seed) as done, ThreadPoolExecutor() as pool:
                running = [pool.submit(work, number) for number in range(CLIENTS)]
            for one in running:
                one.result()
        finally:
            faults.delay_replay(directory.reader, 0)
        seconds = time.monotonic() - started
        asked = searches_by_reader(directory, faults) - asked_before
    print(f"\nseed {seed}: reads {dict(reads)}, {asked} by the reader, writes {dict(writes)}, ", end="")
    print(f"processes {dict(done)}, {seconds:.0f} s")
    assert older == []
    assert asked
    assert done["frozen"]
    assert done["killed"]
    # Otherwise nothing was promised.
    assert writes["answered"] > writes["not known to the cache"]
