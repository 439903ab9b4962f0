"""Shows that rooms do without each other: `make rooms`, after `make lint` and `make test`.

The packages are checked without each room in turn. Then the tests of each room that needs only the platform run in a
copy of the project with that room alone, in a local cloud, with the functions that `sam build` has built here.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fork

SOURCE = fork.Project(Path(__file__).parent.parent)
ROOMS = SOURCE.rooms.keys()
BUILD = Path(".aws-sam/build")
TARGET = os.environ.get("CARGO_TARGET_DIR", str(SOURCE.root / "target"))


@contextmanager
def only(kept: set[str]) -> Iterator[fork.Project]:
    """A copy of the project without the other rooms."""
    with tempfile.TemporaryDirectory() as directory:
        copy = SOURCE.copied_to(Path(directory))
        fork.warn(copy.drop(ROOMS - kept))
        yield copy


def compiles(copy: fork.Project) -> bool:
    """Whether a feature is missing that only another room asked for. Most dependencies are checked already, by lint."""
    copy.renumber()
    # As lint does, because other flags for the compiler would compile all dependencies again.
    packages = ["--workspace", "--all-features", "--all-targets"]
    command = ["cargo", "clippy", "--offline", "--quiet", *packages, "--", "-D", "warnings"]
    environment = os.environ | {"CARGO_TARGET_DIR": TARGET}
    return subprocess.run(command, cwd=copy.root, env=environment, check=False).returncode == 0


def build(copy: fork.Project) -> None:
    """Builds a copy as `sam build` does, without the functions: dropping other rooms does not change them."""
    for room, resource in copy.rooms.items():
        built = BUILD / resource if resource else BUILD.with_name(room)
        shutil.copytree(SOURCE.root / built, copy.root / built)
    root = (copy.root / "template.yaml").read_text()
    built = re.sub(r"stacks/([\w-]+)/template\.yaml", lambda path: f"{SOURCE.rooms[path[1]]}/template.yaml", root)
    (copy.root / BUILD / "template.yaml").write_text(built)


def passes(copy: fork.Project, room: str) -> bool:
    """Whether the room's tests pass. Left out is what compiles yet another copy, and what takes long."""
    build(copy)
    options = ["-p", "no:cacheprovider", "-m", "not compiles and not large"]
    tests = [sys.executable, "-m", "pytest", "--quiet", *options, f"tests/{room}"]
    environment = os.environ | {"PYTHONPATH": f"{copy.root}/local:{copy.root}/scripts", "CARGO_TARGET_DIR": TARGET}
    return subprocess.run(tests, cwd=copy.root, env=environment, check=False).returncode == 0


def main() -> None:
    failed = []
    for room in sorted(ROOMS - {fork.PLATFORM}):
        print(f"\n==> Checking the packages without {room}", flush=True)
        with only({other for other in ROOMS if room not in SOURCE.with_needs({other})}) as copy:
            if not compiles(copy):
                failed.append(f"without {room}")
    for room in sorted(ROOMS - {fork.PLATFORM}):
        kept = SOURCE.with_needs({room})
        if kept == {room, fork.PLATFORM} and kept != ROOMS:
            print(f"\n==> Testing {room} alone", flush=True)
            with only(kept) as copy:
                if not passes(copy, room):
                    failed.append(f"{room} alone")
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
