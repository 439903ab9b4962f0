"""Apache Velocity itself, the engine behind API Gateway's mapping templates, for the tests."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tools import missing

PACKAGES = "velocity libjackson2-databind-java default-jdk-headless"
JARS = [
    Path("/usr/share/java") / f"{name}.jar"
    for name in (
        "velocity",
        "commons-collections3",
        "commons-lang",
        "jackson-annotations",
        "jackson-core",
        "jackson-databind",
    )
]
PROGRAM = Path(__file__).parent / "velocity" / "Render.java"


def render(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The result of each template: ``text``, ``status`` and ``headers``, or an ``error``."""
    if not shutil.which("javac") or not all(jar.exists() for jar in JARS):
        missing("Apache Velocity", PACKAGES)
    # Java compiles the program when it starts it, so no binary is kept.
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, JARS)), str(PROGRAM)]
    answer = subprocess.run(command, input=json.dumps(cases).encode(), stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)
