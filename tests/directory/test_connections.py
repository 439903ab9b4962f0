"""How the deployed directory connects to its database: through few connections, with tokens, and without its words."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import requests
from botocore.credentials import Credentials
from deployed_directory import Directory, is_hit, new_question
from faults import denied_to_role, kill_function, send_signal
from log_lines import logged
from stack import Stack, wait_until

psycopg2 = pytest.importorskip("psycopg2", reason="needs local/")

from directory_stack import signed_token  # noqa: E402
from local_cloud.faults import Faults  # noqa: E402
from running_cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY  # noqa: E402

CLIENTS = 200
PROXY_CONNECTIONS = 5
PINNING = "SET work_mem = '8MB'"
READER, WRITER = "directory_reader", "directory_writer"
NOTHING_DONE = {"message": "0 migrations were applied."}
# In any message of Postgres or of its client.
DATABASE_WORDS = ("postgres", "sqlstate", "pam authentication", READER, WRITER, "rds", "token")


@pytest.fixture
def faults(directory: Directory, local_cloud: None) -> Faults:
    wait_until(directory.is_well, "the directory is well")
    return Faults(os.environ["AWS_ENDPOINT_URL"])


def connections(cursor: Any) -> int:
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename IN (%s, %s)", (READER, WRITER))
    return cursor.fetchone()[0]


@contextmanager
def signed_in(proxy: dict[str, Any], signed_at: datetime) -> Iterator[Any]:
    """A cursor of a client of this proxy, which gives a token that was made then."""
    root = Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    with patch("botocore.auth.get_current_datetime", return_value=signed_at):
        token = signed_token(root, "rds-db", f"{proxy['address']}:{proxy['port']}", {"DBUser": READER})
    address = {"host": proxy["address"], "port": proxy["port"], "dbname": "directory", "sslmode": "require"}
    with closing(psycopg2.connect(user=READER, password=token, **address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def test_200_clients_share_few_connections_to_the_database(directory: Directory, faults: Faults) -> None:
    tries = []

    def ask(number: int) -> None:
        get = (directory.function, directory.container)[number % 2]
        path = f"/courses?q={new_question()}"

        def is_answered() -> bool:
            tries.append(path)
            return get(path).status_code == 200

        # One that has waited too long for a connection is answered 503, and tries again.
        wait_until(is_answered, "each client gets its answer")

    most = 0
    with (
        directory.superuser(faults.servers()[directory.reader]) as reader,
        directory.superuser(faults.servers()[directory.writer]) as writer,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        answers = [clients.submit(ask, number) for number in range(2 * CLIENTS)]
        while not all(answer.done() for answer in answers):
            most = max(most, connections(reader), connections(writer))
    for answer in answers:
        answer.result()
    print(f"\n{len(tries) - len(answers)} requests of {len(answers)} were sent again; at most {most} connections")
    assert 0 < most <= PROXY_CONNECTIONS


def test_a_statement_that_pins_a_session_is_noticed(directory: Directory, faults: Faults) -> None:
    proxy = directory.proxies[0]
    with signed_in(faults.servers()[proxy], datetime.now(timezone.utc)) as client:
        client.execute(PINNING)
        [pinned] = faults.servers()[proxy]["pinned"]
        assert (pinned["user"], pinned["reason"], pinned["statement"]) == (READER, "SET", PINNING)
    wait_until(lambda: not faults.servers()[proxy]["pinned"], "the session ends")


@pytest.mark.last
def test_no_request_has_pinned_a_session(directory: Directory, local_cloud: None) -> None:
    """After all other tests."""
    servers = Faults(os.environ["AWS_ENDPOINT_URL"]).servers()
    pins = [pin for proxy in directory.proxies for pin in servers[proxy]["pins"]]
    assert [pin for pin in pins if pin["statement"] != PINNING] == []


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
    # It is kept for a minute.
    wait_until(lambda: is_hit(directory.function("/departments")), "the cache has an answer")
    kept = directory.function("/departments")
    with ExitStack() as roles:
        for role in ("ServeDirectoryRole", "DirectoryServerRole"):
            roles.enter_context(denied_to_role(directory.stack, directory.role(role), "rds-db:connect"))
        with new_connections(directory, faults):
            for get in (directory.function, directory.container):
                check_unavailable(get(f"/courses?q={new_question()}"))
                # The cache needs another permission.
                wait_until(lambda get=get: get("/departments").content == kept.content, "the cache answers", 20)
            check_unavailable(directory.delete("/departments/nobody"))
    wait_until(directory.is_well, "the directory is well again")


def check_unavailable(answer: requests.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["code"] == "TRY_AGAIN"
    said = answer.text.lower() + str(answer.headers).lower()
    assert [word for word in DATABASE_WORDS if word in said] == []


def test_the_database_takes_a_token_for_15_minutes(directory: Directory, faults: Faults) -> None:
    for proxy in (faults.servers()[name] for name in directory.proxies):
        now = datetime.now(timezone.utc)
        with signed_in(proxy, now) as client:
            client.execute("SELECT count(*) FROM departments")
            assert client.fetchone()[0] > 0
        late = signed_in(proxy, now - timedelta(minutes=15))
        with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
            late.__enter__()


# ---- Migrations


def test_migrations_that_are_repeated_change_nothing(directory: Directory, faults: Faults) -> None:
    everything = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE"
    everything += " table_schema = 'public' ORDER BY 1, 2"
    with directory.superuser(faults.servers()[directory.writer]) as cursor:
        cursor.execute(everything)
        before = cursor.fetchall(), directory.function("/departments").content
        for request_type in ("Create", "Update"):
            # A new process, as in a deployment, has to read the owner's password.
            kill_function(f"{directory.root}-migrate-directory")
            wait_until(lambda kind=request_type: directory.migrate(kind) == NOTHING_DONE, "they are repeated", 30)
        cursor.execute(everything)
        assert (cursor.fetchall(), directory.function("/departments").content) == before


def test_this_version_works_beside_the_tables_of_a_later_one(directory: Directory, faults: Faults) -> None:
    """A migration only adds; the function of before serves until the new one is deployed."""
    course = {"id": "later", "title": "Later", "description": "It has a column more.", "credits": 1, "advisors": []}
    with directory.superuser(faults.servers()[directory.writer]) as cursor:
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
def test_no_credential_is_in_a_log_or_an_environment(stack: Stack, directory: Directory, local_cloud: None) -> None:
    """After all other tests."""
    servers = Faults(os.environ["AWS_ENDPOINT_URL"]).servers()
    secrets = stack.client("secretsmanager")
    [owners] = [
        secrets.get_secret_value(SecretId=one["ARN"])["SecretString"]
        for one in secrets.list_secrets()["SecretList"]
        if one["Name"].startswith("rds!cluster-")
    ]
    forbidden = [json.loads(owners)["password"], "X-Amz-Signature", "X-Amz-Security-Token"]
    processes = directory.function_processes()
    processes += [servers[f"container/{task}"]["process_id"] for task in directory.tasks()]
    texts = {f"process {process}": Path(f"/proc/{process}/environ").read_text() for process in processes}
    logs = {group: "\n".join(messages) for group, messages in logged(stack).items() if "directory" in group}
    assert logs.keys() >= {f"/aws/lambda/{stack.name}-serve-directory", f"/aws/ecs/{stack.name}-directory-server"}
    assert [(place, word) for place, text in (texts | logs).items() for word in forbidden if word in text] == []
