"""The promises of the appointments' template."""

import json

import jsonata
import yaml
from rooms import PROJECT, Room

RESOURCES = Room("appointments").resources


def test_the_canary_says_that_a_booking_has_not_arrived_before_it_is_timed_out() -> None:
    definition = yaml.safe_load((PROJECT / "statemachines/appointments/check-freshness.asl.yaml").read_text())
    schedule = RESOURCES["CheckFreshnessSchedule"]["Properties"]["Target"]["Input"]
    give_up = json.loads(schedule)["give_up_after_seconds"]
    expression = definition["States"]["WaitForArchive"]["Seconds"].removeprefix("{%").removesuffix("%}")
    wait = jsonata.Jsonata(expression)
    for look in (0.02, 0.3, 0.7, 1.1):
        seconds = look
        while seconds < give_up:
            frame = wait.create_frame()
            frame.bind("seconds", seconds)
            frame.bind("states", {"context": {"Execution": {"Input": json.loads(schedule)}}})
            seconds += wait.evaluate(None, frame) + look
        assert seconds < give_up + 60 < definition["TimeoutSeconds"]
