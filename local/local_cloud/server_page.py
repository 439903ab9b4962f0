"""The page that lists the real servers of the cloud, and does to them what a test asks for."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from ministack import app

from local_cloud.postgres_proxy import PostgresProxy
from local_cloud.servers import Postgres, Server

PAGE = "/_local/servers"

servers: dict[str, Server] = {}
"""By the identifier of the database instance or the replication group."""
proxies: dict[str, PostgresProxy] = {}
"""By the name of the proxy's endpoint."""


def _listed() -> dict[str, Any]:
    return {
        **{name: {"process_id": server.process_id, "port": server.port} for name, server in servers.items()},
        **{
            name: {
                "address": proxy.listener.address,
                "port": proxy.listener.port,
                "pinned": [pin._asdict() for pin in list(proxy.pinned)],
                "pins": [pin._asdict() for pin in list(proxy.pins)],
            }
            for name, proxy in proxies.items()
        },
    }


def _actions(name: str, query: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    if name in proxies:
        return {"stop": proxies[name].stop, "start": proxies[name].start}
    server = servers[name]
    actions = {
        "stop": server.stop,
        "start": server.start,
        "kill": server.process.kill,
        "freeze": server.process.freeze,
        "thaw": server.process.thaw,
    }
    if isinstance(server, Postgres):
        actions |= {
            "pause_replay": server.pause_replay,
            "resume_replay": server.resume_replay,
            "delay_replay": lambda: server.delay_replay(int(query["milliseconds"][0])),
        }
    return actions


def install() -> None:
    handle_other_page = app._handle_ses_messages_request

    async def handle_page(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
        if path != PAGE:
            return await handle_other_page(method, path, headers, query)
        status, body = 200, _listed()
        if "name" in query:
            name, action = query["name"][0], query["action"][0]
            if name not in servers and name not in proxies:
                status, body = 404, {"message": f"there is no server {name}; there are {', '.join(_listed())}"}
            else:
                await asyncio.to_thread(_actions(name, query)[action])
                body = _listed()[name]
        return status, {"Content-Type": "application/json"}, json.dumps(body).encode()

    app._handle_ses_messages_request = handle_page
