"""The page that lists the real servers and the containers of the cloud, and does to them what a test asks for."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

from ministack import app

from local_cloud.postgres_proxy import PostgresProxy
from local_cloud.processes import Process
from local_cloud.servers import Postgres, Server, Valkey

PAGE = "/_local/servers"


class Container(Protocol):
    """A container of a task of ECS."""

    process: Process
    port: int


parts: dict[str, Server | PostgresProxy | Container] = {}
"""By kind and identifier: database/<instance>, proxy/<endpoint>, cache/<replication group>, dax/<cluster>,
container/<task>."""


def _described(part: Server | PostgresProxy | Container) -> dict[str, Any]:
    if isinstance(part, PostgresProxy):
        return {
            "address": part.listener.address,
            "port": part.listener.port,
            "pinned": [pin._asdict() for pin in list(part.pinned)],
            "pins": [pin._asdict() for pin in list(part.pins)],
        }
    is_running = part.process.status is None
    return {"process_id": part.process.id if is_running else None, "port": part.port}


def _listed() -> dict[str, Any]:
    return {name: _described(part) for name, part in sorted(parts.items())}


def _actions(part: Server | PostgresProxy | Container, query: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    if isinstance(part, PostgresProxy):
        return {"stop": part.stop, "start": part.start}
    actions = {"kill": part.process.kill, "freeze": part.process.freeze, "thaw": part.process.thaw}
    if isinstance(part, Server):
        actions |= {"stop": part.stop, "start": part.start}
    if isinstance(part, Valkey):
        settings = {name: value for name, [value] in query.items() if name not in ("name", "action")}
        actions |= {"start": lambda: part.start(**settings)}
    if isinstance(part, Postgres):
        actions |= {
            "pause_replay": part.pause_replay,
            "resume_replay": part.resume_replay,
            "delay_replay": lambda: part.delay_replay(int(query["milliseconds"][0])),
        }
    return actions


def install() -> None:
    handle_other_page = app._handle_ses_messages_request

    async def handle_page(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
        if path != PAGE:
            return await handle_other_page(method, path, headers, query)
        status, body = 200, _listed()
        if "name" in query:
            [name], [action] = query["name"], query["action"]
            if name not in parts:
                status, body = 404, {"message": f"there is no {name}; there are {', '.join(body)}"}
            else:
                await asyncio.to_thread(_actions(parts[name], query)[action])
                body = {}
        return status, {"Content-Type": "application/json"}, json.dumps(body).encode()

    app._handle_ses_messages_request = handle_page
