"""Compares the cost of each utility of powertools with that of Powertools for Python: `make bench`.

Writes the table in crates/powertools/docs/cost.md. With --once it measures all utilities together and only once, with
the example that `cargo test` made for debugging, and writes nothing.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from statistics import median

from measuring import ROOT, TARGET
from runtime_api import Function

PAGE = ROOT / "crates/powertools/docs/cost.md"
BEGIN, END = "<!-- make bench writes the table -->\n", "<!-- end of the table -->\n"
STARTS, TURNS = 20, 100
WARM_UP, EVENTS = 20, 5

EVERYTHING = "batch,idempotency,logger,metrics,parameters-ssm,tracer"
POWERTOOLS = ["aws-lambda-powertools", "jmespath", "typing-extensions"]
"""Powertools for Python, with the packages that it needs and that Lambda's runtime lacks in these versions."""


@dataclass
class Side:
    """One function and its measurements; times in seconds."""

    command: list[str]
    size: int
    zipped: int
    environment: dict[str, str]
    inits: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)
    warm_events: list[float] = field(default_factory=list)
    memory: int = 0

    def start(self) -> Function:
        return Function(self.command, self.environment, output=subprocess.DEVNULL)


def build(example: str, features: str) -> Path:
    """A copy of the example's binary, because its next build replaces the original."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "powertools", "--example", example]
    subprocess.run([*command, *(["--features", features] if features else [])], cwd=ROOT, check=True)
    copy = TARGET / "bench" / "-".join([example, *features.split(",")])
    copy.parent.mkdir(exist_ok=True)
    return Path(shutil.copy(TARGET / "release/examples" / example, copy))


def rust(binary: Path, environment: dict[str, str]) -> Side:
    return Side([str(binary)], *sizes([binary]), environment)


def python(module: str, distributions: list[str], environment: dict[str, str]) -> Side:
    functions = ROOT / "benches/powertools"
    files = [functions / f"{module}.py"]
    for name in distributions:
        files += [file.locate() for file in distribution(name).files or () if file.suffix != ".pyc"]
    command = [sys.executable, "-m", "awslambdaric", f"{module}.handler"]
    # Tracer does nothing unless `LAMBDA_TASK_ROOT` shows that it is in Lambda.
    environment = environment | {"PYTHONPATH": str(functions), "LAMBDA_TASK_ROOT": str(functions)}
    return Side(command, *sizes(files), environment)


def sizes(files: list[Path]) -> tuple[int, int]:
    contents = [file.read_bytes() for file in files]
    return sum(map(len, contents)), sum(len(zlib.compress(content, 9)) for content in contents)


class Services(asyncio.Protocol):
    """Answers each request to DynamoDB and Parameter Store immediately."""

    request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.request += data
        head, end, body = self.request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self.request = b""
        answer = b'{"Parameter": {"Value": "100", "Version": 1}}' if b"AmazonSSM." in head else b"{}"
        fields = b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: %d" % len(answer)
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + answer)


def serve(listener: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Services, sock=listener)
        await server.serve_forever()

    asyncio.run(run())


def event() -> dict[str, object]:
    """Ten messages of a queue, with a new key each time."""
    records = [
        {
            "messageId": str(uuid.uuid4()),
            "receiptHandle": "x" * 180,
            "body": json.dumps({"id": str(uuid.uuid4()), "items": items}),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders",
            "awsRegion": "us-east-1",
        }
        for items in range(1, 11)
    ]
    return {"id": str(uuid.uuid4()), "Records": records}


def invoke(function: Function) -> float:
    answer = function.invoke(event(), timeout=30)
    assert answer == {"batchItemFailures": []}, answer
    return function.latencies[-1]


def measure(sides: list[Side], starts: int, turns: int) -> None:
    """Each round starts all functions, in another order, so that other work of the machine affects all alike."""
    for count in range(starts):
        print(f"==> Starting the functions ({count + 1} of {starts})", flush=True)
        for side in random.sample(sides, len(sides)):
            with side.start() as function:
                side.inits.append(function.init_seconds(timeout=30))
                side.first_events.append(invoke(function))
    print(f"==> {turns * EVENTS} events for each function", flush=True)
    with ExitStack() as stack:
        functions = [(side, stack.enter_context(side.start())) for side in sides]
        for _, function in functions:
            for _ in range(WARM_UP):
                invoke(function)
        for _ in range(turns):
            for side, function in random.sample(functions, len(functions)):
                side.warm_events += [invoke(function) for _ in range(EVENTS)]
        for side, function in functions:
            status = Path(f"/proc/{function.pid}/status").read_text()
            side.memory = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


COLUMNS: list[tuple[str, float, int, Callable[[Side], float]]] = [
    ("init, ms", 1e3, 1, lambda side: median(side.inits)),
    ("first event, ms", 1e3, 1, lambda side: median(side.first_events)),
    ("warm event, µs: median", 1e6, 0, lambda side: median(side.warm_events)),
    ("minimum", 1e6, 0, lambda side: min(side.warm_events)),
    ("peak memory, MB", 1e-6, 1, lambda side: side.memory),
    ("size, MB", 1e-6, 2, lambda side: side.size),
    ("zipped, MB", 1e-6, 2, lambda side: side.zipped),
]


def table(pairs: dict[str, tuple[Side, Side]]) -> str:
    plain, *_ = pairs.values()
    lines = ["| | " + " | ".join(name for name, *_ in COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name, pair in pairs.items():
        cells = []
        for _, scale, digits, value in COLUMNS:
            if pair is plain:
                numbers = [f"{value(side) * scale:.{digits}f}" for side in pair]
            else:
                added = [(value(side) - value(base)) * scale for side, base in zip(pair, plain, strict=True)]
                # Adding zero removes the minus of a negative zero.
                numbers = [f"{round(number, digits) + 0.0:+.{digits}f}" for number in added]
            cells.append(" / ".join(numbers))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    once = parser.parse_args().once
    begin = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        services = multiprocessing.get_context("fork").Process(target=serve, args=[listener], daemon=True)
        services.start()
        environment = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:{1}".format(*listener.getsockname()),
            "POWERTOOLS_SERVICE_NAME": "shop",
            "POWERTOOLS_METRICS_NAMESPACE": "Shop",
        }
        traced = environment | {"AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:{1}".format(*daemon.getsockname())}
        tracer = [*POWERTOOLS, "aws-xray-sdk", "wrapt"]
        pairs = {}
        for name, module, distributions, example, features, variables in (
            ("a function without utilities", "plain", [], "cost", "", environment),
            ("batch", "batch", POWERTOOLS, "cost", "batch", environment),
            ("logger", "logger", POWERTOOLS, "cost", "logger", environment),
            ("metrics", "metrics", POWERTOOLS, "cost", "metrics", environment),
            ("tracer", "tracer", tracer, "cost", "tracer", traced),
            ("parameters", "parameters", POWERTOOLS, "cost", "parameters-ssm", environment),
            ("idempotency", "idempotency", POWERTOOLS, "cost", "idempotency", environment),
            ("its calls by hand, with the SDK", "sdk", [], "cost_sdk", "", environment),
            ("all together", "everything", tracer, "cost", EVERYTHING, traced),
        ):
            if once:
                if features != EVERYTHING:
                    continue
                # `cargo test --all-features` made it with all utilities.
                binary = TARGET / "debug/examples" / example
            else:
                print(f"==> Building for: {name}", flush=True)
                binary = build(example, features)
            pairs[name] = (rust(binary, variables), python(module, distributions, variables))
        measure([side for pair in pairs.values() for side in pair], *((1, 1) if once else (STARTS, TURNS)))
        services.terminate()
    written = table(pairs)
    if once:
        print(written)
        return
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + written + "\n" + END + rest.split(END)[1])
    print(written)
    print(f"==> {PAGE.relative_to(ROOT)} is written, after {time.monotonic() - begin:.0f} seconds")


if __name__ == "__main__":
    main()
