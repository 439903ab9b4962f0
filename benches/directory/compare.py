"""Compares the directory's function and container with their peers: `make bench` measures them.

Postgres and Valkey are real. Writes a page into benches/results. With --once it measures ours only once, with the debug
binaries that `cargo test` and `cargo lambda build` made, and writes nothing.
"""

import argparse
import base64
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.server import HOST, free_port
from local_cloud.servers import Postgres, Valkey
from local_cloud.valkey_front import command
from measuring import (
    BENCHES,
    OURS,
    ROOT,
    ROUNDS,
    TARGET,
    Function,
    Measured,
    build,
    debug_binaries,
    install_peers,
    measure,
    python,
    rust,
    start,
    write_page,
)
from performance import STARTS, Goals, number, table

HERE = Path(__file__).parent
DATABASE = "directory"
FUNCTION, CONTAINER = "serve-directory", "directory-server"
FLOOR, NODE, POWERTOOLS, PYTHON = "floor", "Node", "Node, Powertools and X-Ray", "Python"
CLIENTS = [1, 16]
INVOCATIONS = 200
"""Of each start of a function, after the first."""
REQUESTS = 3_200
"""To each start of a container, after those that let it compile."""
COURSES = 100_000
"""More than are read, where each request reads another one."""
CONNECTIONS = 5
"""Of a container to the database."""

Json = dict[str, Any]


# ---- What is read


@dataclass
class Read:
    """A request, and its answer."""

    name: str
    path: str
    body: str = ""
    """The expected body; empty if each request gets another one."""
    has_cache: bool = True

    @property
    def is_hit(self) -> bool:
        return self.has_cache and bool(self.body)

    @property
    def answer(self) -> Json:
        return {"statusCode": 200} | ({"body": self.body} if self.body else {})

    def event(self) -> str:
        """From the HTTP API."""
        event = json.loads((ROOT / f"events/directory/{FUNCTION}.json").read_text())
        event |= {"rawPath": self.path, "rawQueryString": "", "queryStringParameters": {}}
        event["requestContext"]["http"]["path"] = self.path
        return json.dumps(event)


def directory(courses: int) -> dict[str, list[Json]]:
    """The rows of each table, in an order in which they can be inserted."""
    departments = [
        {"id": f"department-{n}", "name": f"Department {n}", "folded_name": f"department {n}"} for n in range(25)
    ]
    advisors = [
        {
            "id": f"advisor-{n:03}",
            "given_name": "Zoë",
            "family_name": f"Ångström {n:03}",
            "email": f"advisor-{n:03}@school.example",
            "office": f"Building 3, room {n}",
            "folded_name": f"angstrom {n:03} zoe",
        }
        for n in range(200)
    ]
    numbers = range(1, courses + 1)
    return {
        "departments": departments,
        "advisors": advisors,
        "courses": [
            {
                "id": f"course-{n}",
                "title": f"Foundations of Interpretation {n}",
                "description": "Students learn how a text is interpreted. There are two lectures and an exercise each "
                "week, and a written examination at the end of the term.",
                "credits": 5,
                "department": departments[n % 25]["id"],
                "folded_title": f"foundations of interpretation {n}",
            }
            for n in numbers
        ],
        "advises": [{"advisor": it["id"], "department": departments[n % 25]["id"]} for n, it in enumerate(advisors)],
        "teaches": [{"advisor": advisors[m % 200]["id"], "course": f"course-{n}"} for n in numbers for m in (n, n + 1)],
    }


def reads(tables: dict[str, list[Json]]) -> list[Read]:
    def members(row: Json, *names: str) -> Json:
        return {name: row[name] for name in names}

    def department(row: Json) -> Json:
        return next(members(it, "id", "name") for it in tables["departments"] if it["id"] == row["department"])

    def text(document: Json) -> str:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    row, *_ = tables["courses"]
    teachers = [it["advisor"] for it in tables["teaches"] if it["course"] == row["id"]]
    course = members(row, "id", "title", "credits") | {
        "department": department(row),
        "description": row["description"],
        "advisors": [
            members(it, "id", "given_name", "family_name") for it in tables["advisors"] if it["id"] in teachers
        ],
    }
    page = tables["advisors"][:50]
    advisors = {
        "advisors": [
            members(it, "id", "given_name", "family_name", "email", "office") | {"departments": [department(advises)]}
            for it, advises in zip(page, tables["advises"], strict=False)
        ],
        "next": base64.urlsafe_b64encode(f"{page[-1]['folded_name']}\0{page[-1]['id']}".encode()).decode().rstrip("="),
    }
    return [
        Read("a course, cached", f"/courses/{row['id']}", text(course)),
        Read("50 advisors, cached", "/advisors", text(advisors)),
        # The harness writes another number into each request.
        Read("a course, not in the cache", "/courses/course-{number}"),
        Read("a course, without a cache", f"/courses/{row['id']}", text(course), has_cache=False),
    ]


# ---- The servers


class Servers:
    """Postgres with the directory, and Valkey. The harness adds TLS, at the ports of `fronts`."""

    def __init__(self, place: Path, tables: dict[str, list[Json]]) -> None:
        # If Postgres needs a user without root's rights, that user has to reach its files.
        place.chmod(0o711)
        cores = os.sched_getaffinity(0)
        # The harness starts what it measures on the last one.
        os.sched_setaffinity(0, cores - {max(cores)} or cores)
        self.postgres = Postgres(place / "postgres")
        # Any password is right: in front of the real one, AWS checks a token.
        self.valkey = Valkey(place / "valkey", dict.fromkeys(["default", "directory"], "on nopass ~* &* +@all"))
        os.sched_setaffinity(0, cores)
        self.fronts = [{"port": free_port(), "server": server.port} for server in (self.postgres, self.valkey)]
        self.postgres.run(f"CREATE DATABASE {DATABASE}")
        migrations = (ROOT / "handlers/directory/migrate-directory/migrations").glob("V*.sql")
        for migration in sorted(migrations, key=lambda file: int(file.name[1:].split("__")[0])):
            self.postgres.run(migration.read_text().replace("%", "%%"), database=DATABASE)
        for name, rows in tables.items():
            insert = f"INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, %s)"
            self.postgres.run(insert, (json.dumps(rows),), DATABASE)
        self.postgres.run("ANALYZE", database=DATABASE)

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()

    def settings(self) -> Json:
        """As the stack writes them."""
        database, cache = ({"host": "localhost", "port": front["port"]} for front in self.fronts)
        return {
            "writer": database,
            "reader": database,
            "database": DATABASE,
            "cache": cache | {"name": "directory", "user": "directory"},
            "region": "us-east-1",
        }

    def ask(self, *words: bytes) -> bytes:
        """Valkey's answer to a command."""
        with socket.create_connection((HOST, self.valkey.port)) as connection, connection.makefile("rb") as answer:
            connection.sendall(command(*words))
            line = answer.readline()
            return answer.read(int(line[1:])) if line.startswith(b"$") else line

    def hits(self) -> int:
        return int(re.search(rb"keyspace_hits:(\d+)", self.ask(b"INFO", b"stats"))[1])


@contextmanager
def servers_with(tables: dict[str, list[Json]]) -> Iterator[Servers]:
    with tempfile.TemporaryDirectory() as place:
        servers = Servers(Path(place), tables)
        try:
            yield servers
        finally:
            servers.stop()


# ---- The programs


def functions(executables: dict[str, Path], packages: Path | None, servers: Servers) -> dict[str, Function]:
    powertools = {
        "POWERTOOLS_SERVICE_NAME": "measured",
        "POWERTOOLS_METRICS_NAMESPACE": OURS,
        "SETTINGS_PARAMETER": "settings",
    }
    ours, floor = rust(executables[FUNCTION]), rust(executables["floor"])
    ours.environment = powertools
    floor.environment = {"CACHE": f"{HOST}:{servers.valkey.port}"}
    if not packages:
        return {OURS: ours, FLOOR: floor}
    settings = {"SETTINGS": json.dumps(servers.settings())}
    # Without these, Powertools in Node believes that it is not in Lambda, and traces nothing.
    lambdas = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs", "LAMBDA_TASK_ROOT": str(HERE)}

    def node(name: str, environment: dict[str, str]) -> Function:
        return Function(["node", str(BENCHES / "bootstrap.mjs"), str(HERE / name)], environment=environment)

    in_python = python(HERE, "plain", packages, "psycopg", "psycopg-binary", "typing-extensions", "valkey")
    in_python.environment |= settings
    return {
        OURS: ours,
        FLOOR: floor,
        NODE: node("plain.mjs", settings),
        POWERTOOLS: node("powertools.mjs", powertools | lambdas),
        PYTHON: in_python,
    }


def containers(executables: dict[str, Path], packages: Path | None) -> dict[str, Function]:
    ours = rust(executables[CONTAINER])
    ours.environment = {"POWERTOOLS_SERVICE_NAME": "measured"}
    return {OURS: ours} | ({NODE: Function(["node", str(HERE / "server.mjs")])} if packages else {})


def label(*parts: object) -> str:
    return ": ".join(map(str, parts))


def load_name(read: Read, clients: int) -> str:
    return f"{read.name}, {clients} {'client' if clients == 1 else 'clients'}"


def invocations(programs: dict[str, Function], read: Read, place: Path, warm: int) -> Iterator[Json]:
    """The starts of functions that give this answer."""
    event = place / f"{read.name}.json"
    event.write_text(read.event())
    for name, program in programs.items():
        # The floor only reads a value.
        if read.is_hit or (read.has_cache and name != FLOOR):
            yield start(label(FUNCTION, name, read.name), program, {"KEY": read.name}, event, warm, answer=read.answer)


def requests(programs: dict[str, Function], read: Read, servers: Servers, place: Path, warm: int) -> Iterator[Json]:
    """The starts of containers, which one client asks, and several."""
    path, port = place / f"{read.name}.path", free_port()
    path.write_text(read.path)
    for name, program in programs.items():
        settings = servers.settings()
        if not read.has_cache:
            # Ours never goes without a cache; here it is down.
            settings["cache"] = settings["cache"] | {"port": free_port()} if name == OURS else None
        variables = {"SETTINGS": json.dumps(settings), "PORT": str(port), "CONNECTIONS": str(CONNECTIONS)}
        for clients in CLIENTS:
            line = start(
                label(CONTAINER, name, load_name(read, clients)), program, variables, path, warm, answer=read.answer
            )
            yield line | {"server": {"port": port, "clients": clients}}


# ---- The page


def time_ms(measured: Measured) -> float:
    return measured.warm * 1e3


def cpu_ms(measured: Measured) -> float:
    return measured.warm_cpu * 1e3


@dataclass
class Page:
    """What was measured."""

    reads: list[Read]
    measured: dict[str, Measured]
    """By binary, program and read."""
    starts: dict[str, Measured]
    """Of the functions, by program."""
    packages: dict[str, int]
    """Bytes of ours, by binary."""

    def sections(self) -> list[str]:
        return [
            *self.goals().section(),
            f"## {FUNCTION}",
            "Time of an invocation, ms:",
            self.table(FUNCTION, time_ms),
            "CPU of an invocation, ms:",
            self.table(FUNCTION, cpu_ms),
            "Peak memory, MB:",
            self.table(FUNCTION, lambda it: it.memory / 1e6),
            f"## {CONTAINER}",
            "Time of a request, ms:",
            self.table(CONTAINER, time_ms),
            "CPU of a request, ms:",
            self.table(CONTAINER, cpu_ms),
            "Peak memory, MB:",
            self.table(CONTAINER, lambda it: it.memory / 1e6),
            "## Cold starts",
            "The first event reads a course that is in the cache.",
            self.starts_table(),
        ]

    def table(self, binary: str, value: Callable[[Measured], float]) -> str:
        """A column for each program; a dash is what was not measured."""
        labels = [name.split(": ") for name in self.measured if name.startswith(f"{binary}: ")]
        programs, heads = (list(dict.fromkeys(parts[place] for parts in labels)) for place in (1, 2))

        def cell(name: str) -> str:
            return number(value(self.measured[name])) if name in self.measured else "-"

        rows = [[head, *(cell(label(binary, program, head)) for program in programs)] for head in heads]
        return table(["", *programs], rows)

    def starts_table(self) -> str:
        rows = [
            [
                name,
                *(number(seconds * 1e3) for seconds in (it.init, it.first, it.cold, it.init_cpu + it.first_cpu)),
                number(it.memory / 1e6),
            ]
            for name, it in self.starts.items()
        ]
        return table(["", "init, ms", "first event, ms", "together", "CPU, ms", "peak memory, MB"], rows)

    def goals(self) -> Goals:
        goals = Goals()

        def add(
            binary: str,
            head: str,
            what: str,
            value: Callable[[Measured], float],
            peer: str,
            limit: float,
            unit: str = "",
        ) -> None:
            ours, other = (self.measured.get(label(binary, program, head)) for program in (OURS, peer))
            if other:
                goals.add(f"{binary}, {head}: {what} against {peer}", value(ours) / value(other), limit, unit)

        for read in self.reads:
            if read.is_hit:
                add(FUNCTION, read.name, "time", time_ms, POWERTOOLS, 1 / 8)
                add(FUNCTION, read.name, "time", time_ms, NODE, 1 / 2)
                add(FUNCTION, read.name, "time", time_ms, FLOOR, 2, " times")
                add(FUNCTION, read.name, "CPU", cpu_ms, POWERTOOLS, 1 / 12)
            else:
                add(CONTAINER, load_name(read, CLIENTS[-1]), "CPU", cpu_ms, NODE, 1 / 6)
        for peer in (NODE, POWERTOOLS):
            if peer in self.starts:
                ratio = self.starts[OURS].cold / self.starts[peer].cold
                goals.add(f"{FUNCTION}: cold start against {peer}", ratio, 1 / 20)
        for binary, size in self.packages.items():
            memory = max(it.memory for name, it in self.measured.items() if name.startswith(label(binary, OURS, "")))
            goals.add(f"{binary}: package", size / 1e6, 5, " MB")
            goals.add(f"{binary}: peak memory", memory / 1e6, 32, " MB")
        return goals


# ---- The measurements


def report(executables: dict[str, Path], packages: Path | None) -> Page:
    """Measures; without packages, ours alone, and once."""
    tables = directory(COURSES if packages else 1_000)
    rounds, warm, load = (ROUNDS, INVOCATIONS, REQUESTS) if packages else (1, 3, 64)
    all_reads = reads(tables)
    with servers_with(tables) as servers, tempfile.TemporaryDirectory() as directory_name:
        place = Path(directory_name)
        in_lambda = functions(executables, packages, servers)
        in_containers = containers(executables, packages)
        asked = {
            read.name: [
                *invocations(in_lambda, read, place, warm),
                *requests(in_containers, read, servers, place, load),
            ]
            for read in all_reads
        }
        for read in all_reads:
            answer = read.answer | {"headers": {"content-type": "application/json"}}
            servers.ask(b"SET", read.name.encode(), json.dumps(answer).encode())
        plan = {"fronts": servers.fronts, "parameter": json.dumps(servers.settings())}
        harness = executables["lambda-bench"]
        print(f"==> Measuring {FUNCTION} and {CONTAINER}", flush=True)
        measured = measure(harness, rounds, [line for lines in asked.values() for line in lines], **plan)
        hits = rounds * sum(line["warm"] for read in all_reads if read.is_hit for line in asked[read.name])
        # Some answers expire meanwhile.
        assert servers.hits() > 0.9 * hits, "answers that should be cached are not"
        print(f"==> Starting {FUNCTION} and its peers", flush=True)
        cold = [
            line | {"name": name, "warm": 0} for name, line in zip(in_lambda, asked[all_reads[0].name], strict=False)
        ]
        starts = measure(harness, STARTS if packages else 1, cold, **plan)
    sizes = {FUNCTION: in_lambda[OURS].zipped, CONTAINER: in_containers[OURS].zipped}
    return Page(all_reads, measured, starts, sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    if parser.parse_args().once:
        executables = debug_binaries() | {
            name: TARGET / "lambda" / name / "bootstrap" for name in (FUNCTION, CONTAINER)
        }
        print("\n\n".join(report(executables, None).sections()))
        return
    print("==> Building the functions", flush=True)
    executables = build(FUNCTION, CONTAINER)
    write_page("directory", "The directory, measured", report(executables, install_peers(HERE)).sections())


if __name__ == "__main__":
    main()
