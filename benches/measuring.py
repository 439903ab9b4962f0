"""Starts functions and their peers with `benches/harness`, as Lambda would start them."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

BENCHES = Path(__file__).parent
ROOT = BENCHES.parent
RESULTS = BENCHES / "results"
"""All measurements. A fork starts without any."""
FIGURES = RESULTS / "functions.json"
"""What `make bench` measured of the functions."""
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

OURS = "Registrar"
ROUNDS = 5
"""Of each function with each event."""


@dataclass
class Function:
    """A function of ours or a peer, which can be started."""

    command: list[str]
    zipped: int = 0
    """Size of its package, in bytes; 0 if nobody asks for it."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Case:
    """A function that is measured beside its peers. Each ``benches/<room>/case.py`` has a list of them, ``CASES``."""

    name: str
    binary: str
    environment: dict[str, str]
    answer: Any
    """The expected answer to every event."""
    event: Callable[[int], bytes]
    """Makes an event with this number of records."""
    records: list[int]
    """The numbers of records in the measured events, in ascending order."""
    peers: Callable[[Path], dict[str, Function]]
    """Makes the peers, from the directory with Python's packages."""
    most_cpu: dict[int, dict[str, float]] = field(default_factory=dict)
    """The goals for events with these numbers of records: the CPU time as a part of each peer's, at most."""
    most_memory: int | None = None
    """The goal for the largest event: peak memory in bytes, at most."""
    workflow: str = ""
    """The workflow of which it is a step."""
    tuning: dict[str, str] = field(default_factory=dict)
    """Variables that make our function faster, from its template."""

    def start(self, name: str, function: Function, event: Path, warm: int) -> dict[str, Any]:
        return start(name, function, self.environment, event, warm, answer=self.answer)


def modules(name: str) -> list[ModuleType]:
    """The modules with this name, of all rooms that have one."""
    return [module(path.parent.name, name) for path in sorted(BENCHES.glob(f"*/{name}.py"))]


@cache
def module(room: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_of_{room}", BENCHES / room / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def cases() -> list[Case]:
    return [case for module in modules("case") for case in module.CASES]


@dataclass
class Measured:
    """The measurements of its starts: medians, in seconds and bytes."""

    init: float
    init_cpu: float
    first: float
    first_cpu: float
    warm: float
    warm_cpu: float
    calls: int
    memory: int

    @classmethod
    def of(cls, starts: list[dict[str, Any]]) -> "Measured":
        warm = [usage for start in starts for usage in start["warm"]] or [start["first"] for start in starts]

        def seconds(usages: list[dict[str, int]], name: str) -> float:
            return median(usage[name] for usage in usages) / 1e6

        inits, firsts = ([start[part] for start in starts] for part in ("init", "first"))
        return cls(
            *(seconds(usages, name) for usages in (inits, firsts, warm) for name in ("wall_us", "cpu_us")),
            calls=warm[0]["calls"],
            memory=max(start["peak_memory_bytes"] for start in starts),
        )

    @property
    def cold(self) -> float:
        """Seconds from its start to its first answer."""
        return self.init + self.first


def run(command: list[str | Path], **options: Any) -> None:
    subprocess.run(command, cwd=ROOT, check=True, **options)


def deflated(files: list[Path]) -> int:
    """Bytes of these files in a package, whose entries are compressed one by one."""
    return sum(len(zlib.compress(file.read_bytes(), 9)) for file in files if file.is_file())


def build(*names: str) -> dict[str, Path]:
    """Builds the harness and the named functions (all if none is named) as `sam build` does, but for this machine."""
    command = ["cargo", "build", "--release", "--locked"]
    run([*command, "--bins", *(argument for name in names for argument in ("-p", name))])
    run([*command, "--bins", "-p", "lambda-bench"])
    return {file.name: file for file in (TARGET / "release").iterdir() if file.is_file() and not file.suffix}


def debug_binaries(*names: str) -> dict[str, Path]:
    """The harness, and those of the named functions that exist, as `cargo test` and `sam build` made them.

    Ends the program if there is no harness.
    """
    executables = {name: TARGET / "debug" / name for name in ("empty", "floor", "lambda-bench", "parse")}
    missing = [str(file) for file in executables.values() if not file.exists()]
    if missing:
        sys.exit(f"not found: {', '.join(missing)}; run cargo test --workspace --all-features first")
    for name in names:
        logical_id = name.title().replace("-", "")
        # It is below its nested stack, whose name may precede it.
        if built := sorted((ROOT / ".aws-sam/build").glob(f"**/*{logical_id}/bootstrap")):
            executables[name] = built[0]
    return executables


def rust(executable: Path, **environment: str) -> Function:
    return Function([str(executable)], deflated([executable]), environment)


def install_peers(directory: Path) -> Path:
    """Installs what the peers in a directory take with them, and Lambda's runtime; returns Python's packages."""
    packages = TARGET / "bench" / directory.name
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", packages]
    run([*pip, "-r", directory / "requirements.txt", "awslambdaric", "boto3", "-c", ROOT / "constraints.txt"])
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", directory])
    return packages


def python(directory: Path, handler: str, packages: Path, *names: str) -> Function:
    """A handler of the directory, with the named distributions from `packages`."""
    taken = [it for it in distributions(path=[str(packages)]) if it.name.replace("_", "-") in names]
    assert len(taken) == len(names), f"not all of {names} are in {packages}"
    files = [Path(str(file.locate())) for distribution in taken for file in distribution.files or ()]
    environment = {
        "LAMBDA_TASK_ROOT": str(directory),
        "PYTHONPATH": os.pathsep.join([str(directory), str(packages)]),
        "POWERTOOLS_SERVICE_NAME": "measured",
        "POWERTOOLS_METRICS_NAMESPACE": OURS,
    }
    # Not the interpreter of make's virtual environment, which has many more packages.
    interpreter = str(getattr(sys, "_base_executable", sys.executable))
    size = deflated([file for file in files if file.suffix != ".pyc"])
    return Function([interpreter, "-m", "awslambdaric", f"{handler}.handler"], size, environment)


def node(handler: Path) -> Function:
    modules = BENCHES / "node_modules"
    # Lambda's runtime contains the SDK.
    files = [
        file
        for file in modules.rglob("*")
        if not {"@aws-sdk", "@smithy"} & set(file.relative_to(modules).parts[:1]) and file.suffix in (".js", ".json")
    ]
    environment = {"POWERTOOLS_SERVICE_NAME": "measured", "POWERTOOLS_METRICS_NAMESPACE": OURS}
    return Function(["node", str(BENCHES / "bootstrap.mjs"), str(handler)], deflated(files), environment)


def measure(harness: Path, rounds: int, starts: list[dict[str, Any]], **others: Any) -> dict[str, Measured]:
    """Reads the harness's measurements, by the names of the starts; `others` are further members of its plan."""
    with tempfile.NamedTemporaryFile("w") as plan:
        json.dump({"rounds": rounds, "starts": starts, **others}, plan)
        plan.flush()
        output = subprocess.run([harness, plan.name], stdout=subprocess.PIPE, check=True).stdout
    by_name = defaultdict(list)
    for start in json.loads(output):
        by_name[start["name"]].append(start)
    return {name: Measured.of(starts) for name, starts in by_name.items()}


def start(
    name: str, function: Function, variables: dict[str, str], event: Path, warm: int, **expected: Any
) -> dict[str, Any]:
    """One line of the harness's plan; `answer` is the expected one, if there is one."""
    environment = function.environment | variables
    return {"name": name, "command": function.command, "environment": environment} | {
        "event": str(event),
        "warm": warm,
        **expected,
    }


def provenance() -> dict[str, str]:
    """Date and commit of present measurements."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    changed = subprocess.check_output([*git, "status", "--porcelain"], text=True)
    today = datetime.now(timezone.utc).date().isoformat()
    return {"date": today, "commit": f"{commit}, changed" if changed else commit}


def write_page(room: str, title: str, sections: list[str]) -> None:
    """Writes a room's page of present measurements, as `make bench` does."""
    made, page = provenance(), RESULTS / f"{room}.md"
    introduction = (
        f"`make bench` wrote this page on {made['date']}, at commit {made['commit']}. What is measured, and how: "
        f"[performance.md](../../docs/{room}/performance.md)."
    )
    # A fork starts without the folder.
    RESULTS.mkdir(exist_ok=True)
    page.write_text("\n\n".join([f"# {title}", introduction, *sections]) + "\n")
    print(f"==> {page.relative_to(ROOT)} is written")
