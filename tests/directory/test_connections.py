"""How the deployed directory connects to its database: through few connections, with tokens, and without its words."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import boto3
import pytest
import requests
from deployed_directory import BROKEN, Directory, new_question
from faults import denied_to_role, send_signal
from local_cloud.faults import Faults
from local_cloud.server import HOST
from local_cloud.servers import SUPERUSER
from stack import wait_until

psycopg2 = pytest.importorskip("psycopg2")

CLIENTS = 200
PROXY_CONNECTIONS = 5
# In any message of Postgres or of its client.
DATABASE_WORDS = ("postgres", "sqlstate", "pam authentication", "directory_reader", "directory_writer", "rds", "token")


@pytest.fixture
def faults(directory: Directory, local_cloud: None) -> Faults:
    wait_until(directory.is_well, "the directory is well")
    return Faults(os.environ["AWS_ENDPOINT_URL"])


@contextmanager
def superuser(faults: Faults, server: str) -> Iterator[Any]:
    """A cursor on a server itself, as AWS has it."""
    port = faults.servers()[server]["port"]
    with closing(psycopg2.connect(host=HOST, port=port, user=SUPERUSER, dbname="directory")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def connections(cursor: Any) -> int:
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'directory\\_%%er'")
    return cursor.fetchone()[0]


def pins(faults: Faults, directory: Directory) -> list[dict[str, str]]:
    return [pin for proxy in directory.proxies for pin in faults.servers()[proxy]["pins"]]


@contextmanager
def signed_in(
    directory: Directory, proxy: str, user: str, faults: Faults, signed_at: datetime | None = None
) -> Iterator[Any]:
    """A client of the proxy, with a token that was made then."""
    host, port = faults.servers()[proxy]["address"], faults.servers()[proxy]["port"]
    with patch("botocore.auth.get_current_datetime", return_value=signed_at or datetime.now(timezone.utc)):
        token = boto3.client("rds").generate_db_auth_token(host, port, user)
    # The local cloud's certificate is for this address.
    with closing(
        psycopg2.connect(host=host, port=port, user=user, password=token, dbname="directory", sslmode="require")
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def test_200_clients_share_few_connections_to_the_database(directory: Directory, faults: Faults) -> None:
    def ask(number: int) -> int:
        get = (directory.function, directory.container)[number % 2]
        path = f"/courses?q={new_question()}"
        answer = get(path)
        # A client tries again if it has waited too long.
        return answer.status_code if answer.status_code not in BROKEN else get(path).status_code

    most = 0
    with (
        superuser(faults, directory.reader) as reader,
        superuser(faults, directory.writer) as writer,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        answers = [clients.submit(ask, number) for number in range(2 * CLIENTS)]
        while not all(answer.done() for answer in answers):
            most = max(most, connections(reader), connections(writer))
    assert {answer.result() for answer in answers} == {200}
    assert 0 < most <= PROXY_CONNECTIONS


def test_a_statement_that_pins_a_session_is_noticed(directory: Directory, faults: Faults) -> None:
    before = len(pins(faults, directory))
    with signed_in(directory, directory.proxies[0], "directory_reader", faults) as client:
        client.execute("SET work_mem = '8MB'")
        [pinned] = faults.servers()[directory.proxies[0]]["pinned"]
        assert (pinned["user"], pinned["reason"]) == ("directory_reader", "SET")
    wait_until(lambda: not faults.servers()[directory.proxies[0]]["pinned"], "the session ends")
    # So that the directory's own can be counted.
    planted.append(len(pins(faults, directory)) - before)


planted: list[int] = []


@pytest.mark.last
def test_no_request_has_pinned_a_session(directory: Directory, local_cloud: None) -> None:
    """After all other tests."""
    found = pins(Faults(os.environ["AWS_ENDPOINT_URL"]), directory)
    assert len(found) == sum(planted), found


@contextmanager
def new_connections(directory: Directory, faults: Faults) -> Iterator[None]:
    """Ends the open connections, so that each is made anew in this context and after it."""
    for proxy in directory.proxies:
        faults.stop(proxy)
        faults.start(proxy)
    yield
    # The credentials, too.
    for process in directory.function_processes():
        send_signal(process, signal.SIGKILL)


def test_without_the_permission_to_connect_reads_fail_and_say_nothing_of_the_database(
    directory: Directory, faults: Faults
) -> None:
    kept = directory.function("/departments")
    with ExitStack() as roles:
        for role in ("ServeDirectoryRole", "DirectoryServerRole"):
            roles.enter_context(denied_to_role(directory.stack, directory.role(role), "rds-db:connect"))
        with new_connections(directory, faults):
            for get in (directory.function, directory.container):
                check_unavailable(get(f"/courses?q={new_question()}"))
                # The cache needs another permission.
                assert get("/departments").content == kept.content
            check_unavailable(directory.delete("/departments/nobody"))
    wait_until(directory.is_well, "the directory is well again")


def check_unavailable(answer: requests.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["code"] == "TRY_AGAIN"
    said = answer.text.lower() + str(answer.headers).lower()
    assert [word for word in DATABASE_WORDS if word in said] == []


def test_the_database_takes_a_token_for_15_minutes(directory: Directory, faults: Faults) -> None:
    for proxy in directory.proxies:
        with signed_in(directory, proxy, "directory_reader", faults) as client:
            client.execute("SELECT count(*) FROM departments")
            assert client.fetchone()[0] > 0
        long_ago = datetime.now(timezone.utc) - timedelta(minutes=15)
        with (
            pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"),
            signed_in(directory, proxy, "directory_reader", faults, long_ago),
        ):
            pass


# ---- Migrations


def test_migrations_that_are_repeated_change_nothing(directory: Directory, faults: Faults) -> None:
    everything = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE"
    everything += " table_schema = 'public' ORDER BY 1, 2"
    with superuser(faults, directory.writer) as cursor:
        cursor.execute(everything)
        before = cursor.fetchall(), directory.function("/departments").content
        for request_type in ("Create", "Update"):
            assert directory.migrate(request_type) == {"message": "0 migrations were applied."}
        cursor.execute(everything)
        assert (cursor.fetchall(), directory.function("/departments").content) == before


def test_this_version_works_beside_the_tables_of_a_later_one(directory: Directory, faults: Faults) -> None:
    """A migration only adds; the function of before serves until the new one is deployed."""
    course = {"id": "later", "title": "Later", "description": "It has a column more.", "credits": 1, "advisors": []}
    with superuser(faults, directory.writer) as cursor:
        cursor.execute("ALTER TABLE courses ADD COLUMN language text NOT NULL DEFAULT 'en'")
        cursor.execute("CREATE TABLE rooms (id text PRIMARY KEY, course text REFERENCES courses ON DELETE CASCADE)")
        try:
            with directory.entry("courses", course | {"department": "law"}) as created:
                for get in (directory.function, directory.container):
                    assert get("/courses/later").content == created.content
                changed = directory.replace("courses", course | {"department": "law", "credits": 2})
                assert changed.json()["credits"] == 2
        finally:
            cursor.execute("DROP TABLE rooms")
            cursor.execute("ALTER TABLE courses DROP COLUMN language")


# ---- Secrets


@pytest.mark.last
def test_no_credential_is_in_a_log_an_environment_or_an_answer(directory: Directory, local_cloud: None) -> None:
    """After all other tests."""
    from pathlib import Path

    from log_lines import logged

    faults = Faults(os.environ["AWS_ENDPOINT_URL"])
    secrets = directory.stack.client("secretsmanager")
    owners = [
        secrets.get_secret_value(SecretId=one["ARN"])["SecretString"]
        for one in secrets.list_secrets()["SecretList"]
        if one["Name"].startswith("rds!cluster-")
    ]
    assert owners
    import json

    forbidden = [json.loads(owner)["password"] for owner in owners] + ["X-Amz-Signature", "X-Amz-Security-Token"]
    processes = directory.function_processes()
    processes += [faults.servers()[f"container/{task}"]["process_id"] for task in directory.tasks()]
    assert processes
    places = {f"process {process}": Path(f"/proc/{process}/environ").read_text() for process in processes}
    logs = {group: "\n".join(messages) for group, messages in logged(directory.stack).items()}
    assert any("directory-server" in group for group in logs)
    places |= logs
    found = [(place, word) for place, text in places.items() for word in forbidden if word in text]
    assert found == []
