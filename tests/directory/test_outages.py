"""What the directory answers while its servers fail, and after their return."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from statistics import median
from typing import Any, NamedTuple

import pytest
import requests
from deployed_directory import BROKEN, Directory, is_hit, new_question
from faults import denied_to_role
from local_cloud.faults import Faults
from local_cloud.server import HOST
from stack import wait_until

CLIENTS = 4
UNREACHED = "directory; fwd=method; detail=unreached"


@pytest.fixture
def faults(directory: Directory, local_cloud: None) -> Iterator[Faults]:
    """Of a directory that is well, before and after the test."""
    wait_until(directory.is_well, "the directory is well")
    yield Faults(os.environ["AWS_ENDPOINT_URL"])
    wait_until(directory.is_well, "the directory is well again")


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


Call = Callable[[], requests.Response]


class Load(NamedTuple):
    """Requests that clients send all the time."""

    trying_again: list[Call]
    """Those that have failed, and whose second try is not over."""
    failed_twice: list[Call]


@contextmanager
def load(*calls: Call) -> Iterator[Load]:
    """Clients send these requests in this context, each a second time if the first try fails."""
    over, sent, trying_again, failed_twice = threading.Event(), [], [], []

    def send(call: Call) -> bool:
        try:
            return call().status_code not in BROKEN
        except requests.ConnectionError:
            return False

    def client(call: Call) -> None:
        while not over.is_set():
            answered = send(call)
            sent.append(answered)
            if not answered:
                trying_again.append(call)
                # A client waits before it tries again.
                if not over.wait(1) and not send(call):
                    failed_twice.append(call)
                trying_again.remove(call)

    with ThreadPoolExecutor(len(calls) * CLIENTS) as pool:
        running = [pool.submit(client, call) for call in calls * CLIENTS]
        try:
            wait_until(lambda: len(sent) > CLIENTS, "requests are answered")
            yield Load(trying_again, failed_twice)
            after = len(sent)
            wait_until(lambda: len(sent) > after + CLIENTS, "requests are answered")
        finally:
            over.set()
    for one in running:
        one.result()
    print(f"\n{len(sent)} requests, {sent.count(False)} sent again, {len(failed_twice)} of them failed again")


# ---- The cache


@contextmanager
def stopped(faults: Faults, directory: Directory) -> Iterator[None]:
    faults.stop(directory.cache)
    try:
        yield
    finally:
        faults.start(directory.cache)


@contextmanager
def hung(faults: Faults, directory: Directory) -> Iterator[None]:
    faults.freeze(directory.cache)
    try:
        yield
    finally:
        faults.thaw(directory.cache)


@contextmanager
def restarted(faults: Faults, directory: Directory, **settings: str) -> Iterator[None]:
    """With settings in this context. It is empty then, and its clients have to connect again."""
    faults.stop(directory.cache)
    faults.start(directory.cache, **settings)
    try:
        yield
    finally:
        faults.stop(directory.cache)
        faults.start(directory.cache)


@contextmanager
def refusing_tokens(faults: Faults, directory: Directory) -> Iterator[None]:
    with ExitStack() as roles:
        for role in ("ServeDirectoryRole", "DirectoryServerRole"):
            roles.enter_context(denied_to_role(directory.stack, directory.role(role), "elasticache:Connect"))
        roles.enter_context(restarted(faults, directory))
        yield


@contextmanager
def refusing_connections(faults: Faults, directory: Directory) -> Iterator[None]:
    with (
        restarted(faults, directory, maxclients="1"),
        socket.create_connection((HOST, faults.servers()[directory.cache]["port"])),
    ):
        yield


def full(faults: Faults, directory: Directory) -> AbstractContextManager[None]:
    return restarted(faults, directory, maxmemory="1")


def milliseconds(call: Callable[[str], requests.Response], paths: list[str]) -> float:
    """The median."""
    took = []
    for path in paths:
        started = time.perf_counter()
        assert call(path).status_code == 200
        took.append(1000 * (time.perf_counter() - started))
    return median(took)


@pytest.mark.parametrize(
    "outage", [stopped, hung, refusing_tokens, refusing_connections, full], ids=lambda outage: outage.__name__
)
def test_without_the_cache_every_answer_is_right(directory: Directory, faults: Faults, outage: Any) -> None:
    both = (directory.function, directory.container)
    entry = {"id": f"without-{outage.__name__.replace('_', '-')}", "name": f"Without: {outage.__name__}"}
    path = f"/departments/{entry['id']}"
    with directory.entry("departments", entry):
        usual = [milliseconds(get, [f"/courses?q={new_question()}" for _ in range(20)]) for get in both]
        for get in both:
            assert get(path).status_code == 200
        with outage(faults, directory):
            unreached = 0
            for number in range(10):
                replaced = directory.replace("departments", entry | {"name": f"{entry['name']} {number}"})
                assert replaced.status_code == 200, replaced.text
                unreached += replaced.headers.get("Cache-Status") == UNREACHED
                for get in both:
                    answer = get(path)
                    assert (answer.status_code, answer.content) == (200, replaced.content)
                    assert not is_hit(answer)
            # A full one still deletes.
            assert bool(unreached) == (outage is not full)
            slower = [milliseconds(get, [f"/courses?q={new_question()}" for _ in range(20)]) for get in both]
        returned = time.monotonic()
        for get in both:
            question = f"/courses?q={new_question()}"
            wait_until(lambda get=get, question=question: is_hit(get(question)), "the cache is used again")
        seconds = time.monotonic() - returned
    for name, before, during in zip(("function", "container"), usual, slower, strict=True):
        print(f"\n{outage.__name__}: {name}: {before:.1f} ms, without the cache {during:.1f} ms", end="")
    print(f"; hits {seconds:.1f} s after its return")


# ---- The database


def test_without_the_reader_the_writer_answers(directory: Directory, faults: Faults) -> None:
    faults.stop(directory.reader)
    try:
        for get in (directory.function, directory.container):
            for _ in range(5):
                assert get(f"/courses?q={new_question()}").status_code == 200
        assert directory.create("departments", {"id": "law", "name": "Law"}).status_code == 409
    finally:
        faults.start(directory.reader)


def test_without_the_writer_reads_are_answered_and_changes_are_refused(directory: Directory, faults: Faults) -> None:
    # It is kept for a minute.
    wait_until(lambda: is_hit(directory.function("/departments")), "the cache has an answer")
    kept = directory.function("/departments")
    faults.stop(directory.writer)
    try:
        for get in (directory.function, directory.container):
            wait_until(lambda get=get: is_hit(get("/departments")), "the cache answers", 20)
            assert get("/departments").content == kept.content
            # With a connection of its own. Five seconds after a change, the reader is asked again.
            faults.stop(directory.proxies[1])
            faults.start(directory.proxies[1])
            wait_until(lambda get=get: get(f"/courses?q={new_question()}").status_code == 200, "the reader answers", 60)
        refused = directory.create("departments", {"id": "alchemy", "name": "Alchemy"})
        assert refusal(refused) == (503, "TRY_AGAIN")
        assert refused.headers["Retry-After"] == "5"
    finally:
        faults.start(directory.writer)
    wait_until(directory.is_well, "the directory is well again")
    assert directory.function("/departments/alchemy").status_code == 404


def test_a_restart_of_the_proxy_fails_no_request_twice(directory: Directory, faults: Faults) -> None:
    calls = [
        lambda: directory.function(f"/courses?q={new_question()}"),
        lambda: directory.container(f"/courses?q={new_question()}"),
        lambda: directory.delete("/departments/nobody"),
    ]
    with load(*calls) as requests_sent:
        for _ in range(3):
            for proxy in directory.proxies:
                faults.stop(proxy)
                faults.start(proxy)
            wait_until(directory.is_well, "the directory is well again")
            # The next restart is another one for a request that failed in this one.
            wait_until(lambda: not requests_sent.trying_again, "every request is answered")
    assert requests_sent.failed_twice == []


# ---- Containers


def container(task: str) -> str:
    """Its name in the local cloud."""
    return f"container/{task}"


def test_a_killed_container_is_replaced_and_fails_no_request_twice(directory: Directory, faults: Faults) -> None:
    tasks = directory.tasks()
    assert len(tasks) == 2

    def is_replaced() -> bool:
        running = directory.tasks()
        return len(running) == 2 and tasks[0] not in running and faults.servers().keys() >= set(map(container, running))

    with load(lambda: directory.container("/departments")) as requests_sent:
        faults.kill(container(tasks[0]))
        wait_until(is_replaced, "the container is replaced")
    assert requests_sent.failed_twice == []
