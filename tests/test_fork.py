"""Rooms can be left out: what is left refers to nothing of theirs, and is a project of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fork
import pytest
from cfnlint.decode import cfn_yaml

PROJECT = Path(__file__).parent.parent
HERE = fork.Project(PROJECT)
ROOMS = sorted(HERE.rooms.keys() - {fork.PLATFORM})
# Those that stand alone, and one that takes others along.
ALONE = [room for room in ROOMS if HERE.needs[room] <= {fork.PLATFORM}]
GREEDY = max(ROOMS, key=lambda room: len(HERE.with_needs({room})))
NAME = "fine-arts"


def needed() -> list[str]:
    """The rooms, beside the platform, whose outputs another room can't do without; from the templates alone."""
    found = set()
    resources = cfn_yaml.load(str(PROJECT / "template.yaml"))["Resources"]
    for resource in resources.values():
        parameters = cfn_yaml.load(str(PROJECT / resource["Properties"]["Location"]))["Parameters"]
        for name, value in resource["Properties"]["Parameters"].items():
            if "Fn::GetAtt" in value and "Default" not in parameters[name]:
                found.add(Path(resources[value["Fn::GetAtt"][0]]["Properties"]["Location"]).parent.name)
    return sorted(found - {fork.PLATFORM})


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Not the modules of the project that runs these tests.
    environment = os.environ | {"PYTHONPATH": f"{directory}/local:{directory}/scripts"}
    return subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def make(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(directory, sys.executable, "scripts/fork.py", *words)


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def commit(directory: Path) -> None:
    author = ("-c", "user.name=A", "-c", "user.email=a@school.example")
    for words in (("add", "--all"), (*author, "commit", "--quiet", "--message", "Work")):
        assert run(directory, "git", *words).returncode == 0


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project, committed, for tests that change nothing of it."""
    project = HERE.copied_to(tmp_path_factory.mktemp("committed"))
    commit(project.root)
    return project.root


@pytest.fixture
def copy(committed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(committed, tmp_path / "copy")


@pytest.fixture
def author(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@school.example")


def check(project: Path) -> None:
    """What lint and tests find without building anything."""
    for words in (
        ("cargo", "metadata", "--offline", "--locked", "--format-version", "1"),
        ("cargo", "fmt", "--check"),
        (tool("ruff"), "check"),
        (tool("ruff"), "format", "--check"),
        (tool("cfn-lint"),),
        # All tests are collected, so all imports are followed; those that need no cloud and no build are run.
        (
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests",
            "-k",
            "test_template.py or test_cost.py",
        ),
    ):
        result = run(project, *words)
        assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_dropped_room_leaves_nothing_behind(copy: Path, room: str) -> None:
    while room in fork.Project(copy).rooms:
        needs = fork.Project(copy).needs
        leaf = room
        while needing := [other for other in needs if leaf in needs[other]]:
            leaf = needing[0]
        result = make(copy, "drop", leaf)
        if fork.Project(copy).rooms.keys() == {fork.PLATFORM, leaf}:
            assert result.stderr == f"{leaf} is the last room: the platform alone does nothing.\n"
            break
        assert result.returncode == 0, result.stderr
        assert "still name" not in result.stdout, result.stdout
        commit(copy)
    check(copy)


@pytest.mark.parametrize("room", needed())
def test_a_room_stays_while_another_one_needs_it(committed: Path, room: str) -> None:
    result = make(committed, "drop", room)
    assert result.returncode == 1
    assert re.fullmatch(rf".+ needs? {room}: drop (it|them) first\.\n", result.stderr)
    assert run(committed, "git", "status", "--porcelain").stdout == ""


def test_the_platform_and_rooms_that_are_not_there_are_not_dropped(committed: Path) -> None:
    assert make(committed, "drop", fork.PLATFORM).stderr == "Every room needs platform.\n"
    # A stack without documentation of its own is a tool.
    tools = {path.parent.name for path in PROJECT.glob("stacks/*/template.yaml")} - HERE.rooms.keys()
    for room in ("attic", *tools):
        assert make(committed, "drop", room).stderr == f"ROOM is one of: {', '.join(ROOMS)}\n"
    assert run(committed, "git", "status", "--porcelain").stdout == ""


def test_nothing_is_dropped_from_work_that_git_could_not_bring_back(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    result = make(copy, "drop", GREEDY)
    assert (result.returncode, "Commit or stash" in result.stderr) == (1, True)
    assert (copy / "stacks" / GREEDY).exists()


@pytest.mark.parametrize("chosen", [ALONE[:1], [GREEDY], ROOMS], ids=lambda chosen: "-".join(chosen))
def test_a_new_project_has_the_chosen_rooms_and_another_name(tmp_path: Path, author: None, chosen: list[str]) -> None:
    directory = tmp_path / "new"
    result = make(PROJECT, "new", str(directory), NAME, *chosen)
    assert result.returncode == 0, result.stderr
    assert "still name" not in result.stdout, result.stdout
    assert result.stdout.endswith(f"Next:\n  cd {directory}\n  make up\n")

    kept = HERE.with_needs(set(chosen))
    assert fork.Project(directory).rooms.keys() == kept
    for room in kept - set(chosen) - {fork.PLATFORM}:
        assert re.search(rf"^Also .*\b{room}\b", result.stdout)
    assert run(directory, "git", "status", "--porcelain").stdout == ""
    assert run(directory, "git", "log", "--format=%an").stdout == "A\n"
    assert (directory / "CHANGELOG.md").read_text() == "# Changelog\n\n## Unreleased\n"
    assert not (directory / "benches/results").exists()

    old = fork.project_name(PROJECT)
    assert fork.project_name(directory) == NAME
    # What is left of the name is a word: someone who may be in a school, or whose address it is.
    name = rf"\b{fork.capitalised(old)}\b|\b{old}([-/]|[:.]\w)|[_/]{old}\b(?!@)|\"{old}\""
    left = [
        f"{file}: {line}"
        for file, text in fork.Project(directory).texts()
        for line in text.splitlines()
        if Path(file).name != "LICENSE" and re.search(name, line)
    ]
    assert left == []
    check(directory)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["", "acme", "ROOM"], "DIR must be"),
        (["DIR", "Acme", "ROOM"], "NAME must be"),
        (["DIR", "", "ROOM"], "NAME must be"),
        (["DIR", "acme"], "ROOMS is one or more of: "),
        (["DIR", "acme", "attic"], "ROOMS is one or more of: "),
        ([".", "acme", "ROOM"], "DIR must be"),
    ],
)
def test_a_new_project_that_can_not_be_is_not_begun(tmp_path: Path, words: list[str], answer: str) -> None:
    directory = tmp_path / "new"
    known = {"DIR": str(directory), "ROOM": ALONE[0]}
    result = make(PROJECT, "new", *(known.get(word, word) for word in words))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(answer)
    assert not directory.exists()
