"""Rooms are small, and know only what they need of each other."""

import re

import fork
import pytest
from rooms import KINDS, PROJECT, ROOMS

HERE = fork.Project(PROJECT)
OTHERS_PATH = re.compile(rf"\b(?:{'|'.join(KINDS)})/({'|'.join(room.name for room in ROOMS)})(?=/)")


def lines(path: str) -> int:
    return len((PROJECT / path).read_text().splitlines())


def test_the_root_template_only_passes_parameters() -> None:
    assert lines("template.yaml") <= 400


@pytest.mark.parametrize("room", sorted(HERE.rooms))
def test_a_room_can_be_read_in_one_sitting(room: str) -> None:
    assert lines(f"stacks/{room}/template.yaml") <= 900
    assert lines(f"docs/{room}/README.md") <= 90


@pytest.mark.parametrize("room", sorted(HERE.rooms))
def test_a_room_names_no_path_of_a_room_that_it_does_not_need(room: str) -> None:
    known = HERE.with_needs({room}) | {fork.PLATFORM}
    named = {
        (name, path[0])
        for name, text in HERE.texts()
        if name.split("/")[:2] in [[kind, room] for kind in KINDS]
        for path in OTHERS_PATH.finditer(text)
        if path[1] not in known
    }
    assert named == set()
