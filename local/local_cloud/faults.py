"""Faults of the real servers and the containers behind a running cloud, for tests.

A name is ``database/<instance>``, ``proxy/<endpoint>``, ``cache/<replication group>``, ``dax/<cluster>`` or
``container/<task>``, with the identifiers that AWS has for them. Nobody starts a container but ECS, which replaces one
that ends.
"""

import json
import urllib.request
from typing import Any
from urllib.parse import urlencode

from local_cloud.server_page import PAGE

SECONDS = 60


class Faults:
    """The real servers of the cloud at this address."""

    def __init__(self, endpoint_url: str) -> None:
        self._page = f"{endpoint_url}{PAGE}"

    def servers(self) -> dict[str, dict[str, Any]]:
        """The process id and port of each one; of a proxy, the sessions that are ``pinned`` now, and all ``pins``."""
        return self._get()

    def stop(self, name: str) -> None:
        """Ends a server, or closes a proxy's connections; new connections are refused until ``start``."""
        self._get(name, "stop")

    def start(self, name: str, **settings: str) -> None:
        """Starts a server that was stopped or killed, on the same port with the same data; waits until it answers.

        ``settings`` are a cache's until it is stopped, such as ``maxmemory``.
        """
        self._get(name, "start", **settings)

    def kill(self, name: str) -> None:
        self._get(name, "kill")

    def freeze(self, name: str) -> None:
        """Stops a server's execution; connections stay open and get no answer until ``thaw``."""
        self._get(name, "freeze")

    def thaw(self, name: str) -> None:
        self._get(name, "thaw")

    def pause_replay(self, name: str) -> None:
        """Makes a database's reader apply nothing until ``resume_replay``."""
        self._get(name, "pause_replay")

    def resume_replay(self, name: str) -> None:
        self._get(name, "resume_replay")

    def delay_replay(self, name: str, milliseconds: int) -> None:
        """Makes a database's reader apply each transaction so long after its commit; 0 ends it."""
        self._get(name, "delay_replay", milliseconds=milliseconds)

    def _get(self, name: str | None = None, action: str | None = None, **parameters: int | str) -> dict[str, Any]:
        asked = {"name": name, "action": action, **parameters} if name else {}
        with urllib.request.urlopen(f"{self._page}?{urlencode(asked)}", timeout=SECONDS) as response:
            return json.load(response)
