"""Compares the Rust client of DAX with the official clients, and with the SDK over HTTP: `make bench` measures them.

All ask the same server. Writes a page into benches/results. With --once it measures ours only once, with the debug
binary that `cargo test` made, and writes nothing.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from measuring import ROOT, TARGET, run, write_page
from performance import Goals, number, table

HERE = Path(__file__).parent
CLIENTS = Path(os.environ.get("DAX_CLIENTS", ROOT / ".venv/dax"))
PROGRAM = "dax-bench"
PYTHON, NODE = "Python", "Node"
HTTP, SDK, CORE = "Rust SDK over HTTP", "Rust SDK through DAX", "Rust core"
OPERATIONS = {"get": "GetItem", "query": "Query"}
FOUND = {"get": 7, "query": 25}
"""Attributes of the item, items of the page."""
ROUNDS = 7
REQUESTS = {PYTHON: 2_000, NODE: 2_000, HTTP: 5_000, SDK: 10_000, CORE: 20_000}
"""In a round, after those that let a client get used to it."""


@contextmanager
def served(program: Path) -> Iterator[tuple[str, str]]:
    """The endpoints of DAX and of DynamoDB."""
    with subprocess.Popen([program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        dax, http = server.stdout.readline().split()
        yield dax, http
        server.stdin.close()


def commands(program: Path, dax: str, http: str) -> dict[str, list[str | Path]]:
    """Of each client; operation and number of requests are missing."""
    return {
        PYTHON: [CLIENTS / "bin/python", HERE / "client.py", dax],
        NODE: ["node", "--no-warnings", HERE / "client.cjs", dax],
        HTTP: [program, "http", http],
        SDK: [program, "sdk", dax],
        CORE: [program, "core", dax],
    }


def measured(command: list[str | Path], operation: str, requests: int) -> dict[str, Any]:
    environment = os.environ | {"NODE_PATH": str(CLIENTS / "node/node_modules")}
    output = subprocess.check_output([*command, operation, str(requests)], text=True, env=environment)
    result = json.loads(output.splitlines()[-1])
    assert result["found"] == FOUND[operation], (command, result)
    return result


def report(program: Path, once: bool) -> list[str]:
    """The page's sections."""
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with served(program) as endpoints:
        clients = commands(program, *endpoints)
        if once:
            clients = {name: clients[name] for name in (HTTP, SDK, CORE)}
        # They take turns, so that a change of the machine's speed meets all of them.
        for _ in range(1 if once else ROUNDS):
            for operation in OPERATIONS:
                for name, command in clients.items():
                    result = measured(command, operation, 10 if once else REQUESTS[name])
                    results.setdefault(name, {}).setdefault(operation, []).append(result)
    cpu = {
        name: {operation: median(it["cpu_us"] for it in rounds) for operation, rounds in by_operation.items()}
        for name, by_operation in results.items()
    }
    first = {name: median(it["first_us"] for it in rounds["get"]) for name, rounds in results.items()}
    goals = Goals()
    limits = {
        ("get", SDK): {PYTHON: 1 / 4, NODE: 1 / 7, HTTP: 1 / 2},
        ("query", SDK): {PYTHON: 1 / 10, NODE: 1 / 10, HTTP: 1 / 2},
        ("get", CORE): {PYTHON: 1 / 10, NODE: 1 / 15},
    }
    for (operation, ours), peers in limits.items():
        for peer, limit in peers.items():
            if peer in cpu:
                what = f"{OPERATIONS[operation]}: {ours} against {peer}"
                goals.add(what, cpu[ours][operation] / cpu[peer][operation], limit)
    goals.add(f"{SDK}: a new client's first item", first[SDK] / 1e3, 5, " ms")
    rows = [[name, *(number(cpu[name][operation]) for operation in OPERATIONS)] for name in cpu]
    cold = [[name, number(it / 1e3)] for name, it in first.items()]
    return [
        *goals.section(),
        "## Requests",
        "CPU time of the client's process (user and system) for a request, µs:",
        table(["", *OPERATIONS.values()], rows),
        "## Cold starts",
        "From making a client to its first item, in a process that has loaded its code:",
        table(["", "first item, ms"], cold),
    ]


def build() -> Path:
    run(["cargo", "build", "--profile", "optimized", "--locked", "-p", PROGRAM])
    return TARGET / "optimized" / PROGRAM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    if parser.parse_args().once:
        print("\n\n".join(report(TARGET / "debug" / PROGRAM, once=True)))
        return
    print("==> Measuring the clients of DAX", flush=True)
    write_page("cache", "Clients of DAX, measured", report(build(), once=False))


if __name__ == "__main__":
    main()
