"""Runs the tests of rooms in clouds without the other rooms, with the functions that `sam build` has built here.

Each room that needs only the platform gets a copy of the project and a local cloud. Arguments are passed to pytest.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fork

PROJECT = Path(__file__).parent.parent
BUILD = Path(".aws-sam/build")


def build(source: fork.Project, copy: fork.Project, kept: set[str]) -> None:
    """Builds a copy as `sam build` does, without the functions: dropping other rooms does not change them."""
    for room in kept:
        shutil.copytree(source.root / BUILD / source.rooms[room], copy.root / BUILD / source.rooms[room])
    root = (copy.root / "template.yaml").read_text()
    built = re.sub(r"stacks/([\w-]+)/template\.yaml", lambda path: f"{source.rooms[path[1]]}/template.yaml", root)
    (copy.root / BUILD / "template.yaml").write_text(built)


def main() -> None:
    source = fork.Project(PROJECT)
    failed = []
    for room in sorted(source.rooms.keys() - {fork.PLATFORM}):
        kept = source.with_needs({room})
        if kept != {room, fork.PLATFORM} or kept == source.rooms.keys():
            continue
        print(f"\n==> {room} alone", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            copy = source.copied_to(Path(directory))
            fork.warn(copy.drop(source.rooms.keys() - kept))
            build(source, copy, kept)
            # What compiles does so in another copy, which is the same in all rooms.
            options = ["-p", "no:cacheprovider", "-m", "not compiles"]
            tests = [sys.executable, "-m", "pytest", *options, f"tests/{room}", *sys.argv[1:]]
            environment = os.environ | {"PYTHONPATH": f"{directory}/local:{directory}/scripts"}
            if subprocess.run(tests, cwd=directory, env=environment, check=False).returncode != 0:
                failed.append(room)
    if failed:
        sys.exit(f"Tests failed without the other rooms: {', '.join(failed)}")


if __name__ == "__main__":
    main()
