"""The stand-in for RDS Proxy, in front of a server that answers nothing."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg2
import pytest
from local_cloud.certificates import cloud_authority
from local_cloud.fronts import free_address
from local_cloud.postgres_proxy import MOST_CONNECTIONS, PostgresProxy
from local_cloud.server import HOST


def test_a_client_that_waited_too_long_keeps_its_place_until_the_server_has_ended_the_connection() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        address = free_address(port)
        proxy = PostgresProxy(address, port, cloud_authority().server_context, lambda user, password: None)
        proxy.lead_to(port, 0.5)

        def ask(_: int) -> None:
            with pytest.raises(psycopg2.OperationalError, match="Timed-out waiting to acquire database connection"):
                psycopg2.connect(host=address, port=port, user="reader", password="secret", sslmode="require")

        with ThreadPoolExecutor(MOST_CONNECTIONS) as clients:
            list(clients.map(ask, range(2 * MOST_CONNECTIONS)))
        server.setblocking(False)
        accepted = []
        with suppress(BlockingIOError):
            while True:
                accepted.append(server.accept()[0])
        assert len(accepted) == MOST_CONNECTIONS
        for connection in accepted:
            connection.close()
        proxy.stop()
