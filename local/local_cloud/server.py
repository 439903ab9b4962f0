"""Starts, finds and stops a local cloud: its process, its port, its directory."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
# Of the account's root user, whom no policy binds.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
SECONDS_TO_START = 60
# Where a cloud keeps its files, in its directory.
CONTENTS = "contents"


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def client_environment(port: int) -> dict[str, str]:
    """The environment in which the AWS command line, SAM and the SDKs speak to the cloud at this port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}


def start(port: int, directory: Path) -> None:
    """Starts a cloud and waits until it answers; its log is the file ``log`` in the directory.

    Raises ``RuntimeError`` with the log when it doesn't start.
    """
    # A cloud that crashed has left its files.
    shutil.rmtree(directory / CONTENTS, ignore_errors=True)
    (directory / CONTENTS).mkdir(parents=True)
    environment = client_environment(port) | {
        "AUTH": "true",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        # These two would open further ports, on all interfaces.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "TMPDIR": str(directory / CONTENTS),
    }
    log = directory / "log"
    with log.open("wb") as output:
        # In a new session, which an interrupt typed at the terminal does not reach.
        process = subprocess.Popen(
            [sys.executable, "-m", "local_cloud"], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + SECONDS_TO_START
    while not is_taken(port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the local cloud did not start; its log says:\n{log.read_text()}")
        time.sleep(0.05)
    (directory / "running.json").write_text(json.dumps({"process_id": process.pid, "port": port}))


@contextmanager
def running(directory: Path) -> Iterator[int]:
    """Runs a cloud at a free port during the block, which gets the port."""
    port = free_port()
    start(port, directory)
    try:
        yield port
    finally:
        stop(directory)


def find(directory: Path) -> int | None:
    """The port of the cloud that runs in this directory, if one does."""
    try:
        running = json.loads((directory / "running.json").read_text())
        os.kill(running["process_id"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return running["port"] if is_taken(running["port"]) else None


def stop(directory: Path) -> bool:
    """Stops the cloud that runs in this directory; returns whether there was one."""
    port = find(directory)
    if port is None:
        return False
    # The whole session, which includes the processes of the functions.
    os.killpg(json.loads((directory / "running.json").read_text())["process_id"], signal.SIGTERM)
    while is_taken(port):
        time.sleep(0.05)
    (directory / "running.json").unlink()
    # A server may write until it has ended.
    shutil.rmtree(directory / CONTENTS, ignore_errors=True)
    return True
