"""Clients who take the errands of all rooms until none is left."""

import heapq
from collections.abc import Iterator
from pathlib import Path

import gevent
from client import Client, Errand, journal
from locust import events, task
from locust.env import Environment
from locust.runners import STATE_RUNNING
from room_modules import load


def plan() -> Iterator[Errand]:
    """All errands; those of the rooms are spread evenly over each other."""
    rooms = load(Path(__file__).parent, "clients")
    turns = [
        [((number + 1) / room.COUNT, name, number) for number in range(room.COUNT)] for name, room in rooms.items()
    ]
    for _, name, number in heapq.merge(*turns):
        yield from rooms[name].errands(number)


errands = plan()


class Student(Client):
    """Takes one errand after the other."""

    at_work = 0

    @task
    def do_an_errand(self) -> None:
        if errand := next(errands, None):
            Student.at_work += 1
            errand(self)
            Student.at_work -= 1
        elif not Student.at_work and self.environment.runner.state == STATE_RUNNING:
            # Not before all clients are started, and not in the greenlet of one, which it kills.
            gevent.spawn(self.environment.runner.quit)


@events.quitting.add_listener
def close_journal(environment: Environment) -> None:
    journal.close()
