"""The engines that run the jobs: the files that EMR Serverless gets, as processes of their own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
JOBS = PROJECT / "jobs/insights"
INSIGHTS = PROJECT / ".venv/insights/bin"
SPARK = PROJECT / ".venv/spark/bin/python"


class JobFailed(Exception):
    """A job that did not end with status 0, and what it wrote."""


@dataclass
class Engine:
    name: str
    python: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, job: str, output: Path, **arguments: Any) -> dict[str, Any]:
        """A job's answer."""
        words = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
        done = subprocess.run(
            [self.python, JOBS / f"{job}.py", f"--output={output}", *words],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise JobFailed(done.stderr)
        [line] = [line for path in output.glob("*.txt") for line in path.read_text().splitlines()]
        return json.loads(line)


@contextmanager
def sail() -> Iterator[Engine]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [INSIGHTS / "sail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield Engine("sail", INSIGHTS / "python", {"SPARK_REMOTE": f"sc://127.0.0.1:{port}"})
    finally:
        server.kill()
        server.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("Sail has not started")


def spark() -> Engine:
    """Spark in a Java process. The settings only make small jobs faster."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
    }
    given = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    return Engine("spark", SPARK, {"PYSPARK_SUBMIT_ARGS": f"--master local[2] {given} pyspark-shell"})


def has_java() -> bool:
    return shutil.which("java") is not None


def example_archive(root: Path, **arguments: Any) -> dict[str, Any]:
    """Writes an example archive; returns its facts."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    script = PROJECT / "scripts/insights/example_archive.py"
    subprocess.run([INSIGHTS / "python", script, root, *words], check=True, stdout=subprocess.DEVNULL)
    return json.loads((root / "facts.json").read_text())


def plant(root: Path, faults: dict[str, str]) -> None:
    """Plants a fault into each of these days: tests/insights/faulty_archive.py has their names."""
    words = [f"{dt}={fault}" for dt, fault in faults.items()]
    script = Path(__file__).with_name("faulty_archive.py")
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "scripts/insights")}
    subprocess.run([INSIGHTS / "python", script, root, *words], check=True, env=environment, stdout=sys.stderr)
