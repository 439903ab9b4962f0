"""Example archives, and the engines that run the jobs on them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines
import pytest
import tools
from deployed_insights import ROOT, Insights, deploy_stand_in
from stack import Stack

# The local cloud runs jobs in it.
os.environ["EMR_SERVERLESS_PYTHON"] = str(engines.INSIGHTS / "python")

# Two weeks before and after summer time ends, and a leave.
EXAMPLE = {"rows": 6_000, "days": 40, "start": "2026-09-28"}


@pytest.fixture(scope="session")
def sail() -> Iterator[engines.Engine]:
    if not engines.INSIGHTS.exists():
        tools.skip("Sail is not installed: make .venv/insights/ready")
    with engines.sail() as engine:
        yield engine


@pytest.fixture(scope="session", params=["sail", "spark"])
def engine(request: pytest.FixtureRequest, sail: engines.Engine) -> engines.Engine:
    if request.param == "sail":
        return sail
    if not engines.has_java():
        tools.missing("Java", "default-jre-headless")
    if not engines.SPARK.exists():
        tools.skip("Spark is not installed: make .venv/spark/ready")
    return engines.spark()


@pytest.fixture(scope="session")
def example(sail: engines.Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An archive that no test changes, and its facts."""
    root = tmp_path_factory.mktemp("example")
    return root, engines.example_archive(root, **EXAMPLE)


@pytest.fixture(scope="session")
def insights(stack: Stack) -> Insights:
    """The room's stack beside the stack under test."""
    if "STACK" in os.environ:
        pytest.skip("only in the local cloud: it replaces the archive")
    if not engines.INSIGHTS.exists():
        tools.skip("Sail is not installed: make .venv/insights/ready")
    import beside

    deploy_stand_in(stack)
    beside.deploy("insights", stack.name, "local", RootStackName=ROOT)
    return Insights(stack)
