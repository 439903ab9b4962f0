"""A local cloud for the tests that need one."""

from collections.abc import Iterator

import pytest
from local_cloud import server
from python_without_sail import python_with_stand_in
from running_cloud import Cloud
from spark_jobs import Jobs
from trace_collector import Collector


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("EMR_SERVERLESS_PYTHON", str(python_with_stand_in(tmp_path_factory.mktemp("sail"))))
        with server.running(directory) as port:
            # A cloud that starts later has other settings.
            patch.undo()
            yield Cloud(port, directory / "log")


@pytest.fixture(scope="session")
def jobs(cloud: Cloud) -> Jobs:
    return Jobs(cloud)
