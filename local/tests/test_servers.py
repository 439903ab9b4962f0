"""The real servers: where their programs come from, and how they end."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest
from local_cloud.fronts import free_address
from local_cloud.server import free_port
from local_cloud.servers import Postgres, ServerMissing, Valkey

PACKAGE = Path(__file__).parent.parent
START_AND_CRASH = """
import os, signal, sys
from pathlib import Path
from local_cloud.servers import Postgres, Valkey
servers = [Postgres(Path(sys.argv[1], "postgres")), Valkey(Path(sys.argv[1], "valkey"))]
print(*[server.process.id for server in servers], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_servers_end_with_their_program_when_that_is_killed(tmp_path: Path) -> None:
    program = subprocess.run(
        [sys.executable, "-c", START_AND_CRASH, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    processes = [int(word) for word in program.stdout.split()]
    assert len(processes) == 2, program.stderr
    deadline = time.monotonic() + 10
    while any(map(exists, processes)):
        assert time.monotonic() < deadline, "a server goes on"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("variable", "server", "package"),
    [("POSTGRES_BIN", Postgres, "postgresql-17"), ("VALKEY_SERVER", Valkey, "valkey-server")],
)
def test_a_missing_program_is_told_in_a_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, server: type[Postgres | Valkey], package: str
) -> None:
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(ServerMissing, match=f"/nowhere.*requirements-servers.txt.*{variable}.*Debian.*{package}"):
        server(tmp_path)


def test_a_frozen_database_answers_nobody_until_it_is_thawed(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    connection = psycopg2.connect(host="127.0.0.1", port=server.port, user="rdsadmin", dbname="postgres")
    server.process.freeze()
    with connection.cursor() as cursor:
        thaw = threading.Timer(0.5, server.process.thaw)
        thaw.start()
        cursor.execute("SELECT 1")
        assert not thaw.is_alive()
    server.process.freeze()
    server.stop()
    assert server.process.status is not None


def test_a_server_comes_back_with_its_data_after_it_was_killed(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    server.run("CREATE TABLE numbers AS SELECT 1 AS number")
    server.process.kill()
    server.start()
    assert server.run("SELECT number FROM numbers") == [(1,)]
    server.stop()


def test_two_clouds_that_start_at_once_do_not_take_the_same_address() -> None:
    port = free_port()
    address = free_address(port)
    program = f"from local_cloud.fronts import free_address; print(free_address({port}))"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    other = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    # macOS has one address.
    assert other.stdout.strip() != address, other.stderr
