"""A Python whose package `pysail` does nothing, for jobs that need no engine."""

import shlex
import sys
from pathlib import Path

STAND_IN = """
class SparkConnectServer:
    listening_address = ("127.0.0.1", 1)
    def __init__(self, ip, port): pass
    def start(self, *, background): pass
"""


def python_with_stand_in(directory: Path) -> Path:
    """The program; its files are in the directory."""
    package = directory / "pysail"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "spark.py").write_text(STAND_IN)
    program = directory / "python"
    paths = f"{shlex.quote(str(directory))}:$PYTHONPATH"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {shlex.quote(sys.executable)} "$@"\n')
    program.chmod(0o755)
    return program
