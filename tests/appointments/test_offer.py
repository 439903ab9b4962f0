"""`make offer` offers the slots of a CSV file by the clocks of the school, and says which lines it can't take."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from appointments.offer import FIELDS, slots_of
from booking import list_free_slots, offer
from rooms import PROJECT
from stack import Stack, Student

HOURS = {"advisor_id": "ada", "date": "2031-03-31", "minutes": "30", "place": "Room 101", "time_zone": "Europe/Berlin"}


def times(**line: str) -> list[str]:
    return [start.strftime("%d %H:%M") for start in slots_of(HOURS | line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # Berlin is an hour ahead of UTC in winter, two hours in summer, from 30 March to 26 October.
        ({"date": "2031-03-28", "from": "10:00", "to": "11:00"}, ["28 09:00", "28 09:30"]),
        ({"date": "2031-03-31", "from": "10:00", "to": "11:00"}, ["31 08:00", "31 08:30"]),
        ({"date": "2031-03-30", "from": "01:30", "to": "03:30"}, ["30 00:30", "30 01:00"]),
        (
            {"date": "2031-10-26", "from": "01:30", "to": "03:00"},
            ["26 23:30", "26 00:00", "26 00:30", "26 01:00", "26 01:30"],
        ),
        ({"from": "10:00", "to": "10:50"}, ["31 08:00"]),
        ({"from": "00:00", "to": "00:30", "time_zone": "Asia/Tokyo"}, ["30 15:00"]),
    ],
)
def test_hours_are_those_of_the_clocks_of_the_day(line: dict[str, str], expected: list[str]) -> None:
    # The night before the clocks are put back begins on the day before in UTC.
    assert times(**line) == [time.replace("26 23", "25 23") for time in expected]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"date": "2031-03-30", "from": "02:30", "to": "04:00"}, "there is no 02:30 on 2031-03-30"),
        ({"date": "2031-10-26", "from": "01:00", "to": "02:30"}, "02:30 on 2031-10-26 comes twice"),
        ({"from": "10:00", "to": "10:00"}, "no slot of 30 minutes fits"),
        ({"from": "12:00", "to": "10:00"}, "no slot of 30 minutes fits"),
        ({"from": "10:00", "to": "11:00", "minutes": "-30"}, "no slot of -30 minutes fits"),
        ({"from": "10:00", "to": "11:00", "minutes": "x"}, "invalid literal"),
        ({"from": "10", "to": "11:00"}, "does not match format"),
        ({"from": "10:00", "to": "11:00", "date": "31.3.2031"}, "Invalid isoformat"),
        ({"from": "10:00", "to": "11:00", "time_zone": "Europe/Bielefeld"}, "no time zone such as"),
        ({"from": "10:00", "to": "11:00", "time_zone": "Europe"}, "no time zone such as"),
        ({"from": "10:00", "to": "11:00", "time_zone": "../Berlin"}, "no time zone such as"),
    ],
)
def test_what_is_no_hour_of_that_day_is_refused(line: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        times(**line)


def test_a_file_is_offered_line_by_line_and_can_be_offered_again(
    stack: Stack, student: Student, staff: Student, advisor: str, tmp_path: Path
) -> None:
    year = datetime.now().year + 2
    lines = [
        f'{advisor},{year}-06-03,09:00,10:00,30,"Room 7, left",Europe/Berlin',
        f"{advisor},{year}-02-30,09:00,10:00,30,Room 7,Europe/Berlin",
        f"{advisor},{year}-06-04,09:00,10:00,30,,Europe/Berlin",
        f"{advisor},2020-06-03,09:00,10:00,60,Room 7,Europe/Berlin",
        f"{advisor},{year}-12-03,09:00,09:30,30,Room 7,Europe/Berlin,more",
        f"{advisor},{year}-12-03,09:00",
        f"{advisor},{year}-12-03,09:00,09:30,30,Room 7,Europe/Berlin",
    ]
    file = tmp_path / "slots.csv"
    file.write_text("\n".join([",".join(FIELDS), *lines]), encoding="utf-8-sig")
    assert offer(staff, advisor, f"{year}-06-03T07:30:00Z", place="elsewhere").status_code == 201

    def offered() -> tuple[str, list[str]]:
        command = [sys.executable, "scripts/appointments/offer.py", stack.name.rpartition("-")[2], "--csv", file]
        run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert run.returncode == 1
        return run.stdout.strip(), [line.partition(":")[0] for line in run.stderr.strip().splitlines()]

    refused = ["line 3", "line 4", "line 6", "line 7", "4 lines are refused. Correct them, and offer the file again."]
    assert offered() == ("7 lines: 2 slots offered, 1 slots offered before, 1 slots already begun", refused)
    assert offered() == ("7 lines: 0 slots offered, 3 slots offered before, 1 slots already begun", refused)
    slots = list_free_slots(student, advisor).json()["slots"]
    assert [(slot["starts_at"], slot["place"]) for slot in slots] == [
        (f"{year}-06-03T07:00:00Z", "Room 7, left"),
        (f"{year}-06-03T07:30:00Z", "elsewhere"),
        (f"{year}-12-03T08:00:00Z", "Room 7"),
    ]
