"""Listeners that speak TLS in front of servers that don't. They run on an event loop in a thread of its own."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Any

from local_cloud.server import HOST

# Each endpoint has an address of its own, so that it can have the port that it has on AWS. macOS has the first only.
ADDRESSES = [HOST, *(f"127.0.15.{number}" for number in range(1, 64))]

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


# UDP sockets of this process. No other cloud can bind these, so none takes an address before something listens there.
_claims: dict[tuple[str, int], socket.socket] = {}


def free_address(port: int) -> str:
    """An address of this machine where nothing listens on the port, and where no other cloud is about to."""
    for address in ADDRESSES:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            if (address, port) not in _claims:
                _claims[address, port] = _claim(address, port)
            return address
    raise RuntimeError(
        f"Port {port} is taken at all addresses of this machine. End the program that listens on it, or on macOS, add "
        f"addresses: sudo ifconfig lo0 alias {ADDRESSES[1]}"
    )


def _claim(address: str, port: int) -> socket.socket:
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind((address, port))
    except OSError:
        claim.close()
        raise
    return claim


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="fronts", daemon=True).start()
    return loop


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine on the event loop of the fronts, from another thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


class Listener:
    """Serves each connection to an address and port until it is closed."""

    def __init__(self, address: str, port: int, serve: Callable[[Stream], Awaitable[None]]) -> None:
        self.address = address
        self.port = port
        self._serve = serve
        self._connections: set[asyncio.Task[None]] = set()
        self.open()

    def open(self) -> None:
        self._server = run(asyncio.start_server(self._accept, self.address, self.port))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            # The other end may go away at any time.
            with contextlib.suppress(OSError, EOFError, ssl.SSLError, asyncio.CancelledError):
                await self._serve((reader, writer))
        finally:
            self._connections.discard(task)
            writer.close()

    def close(self) -> None:
        """Ends all connections, and refuses new ones until ``open``."""
        run(self._close())

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()


async def connect(port: int) -> Stream:
    """A connection to a server on this machine."""
    return await asyncio.open_connection(HOST, port)


async def start_tls(stream: Stream, context: ssl.SSLContext) -> Stream:
    """The stream, in TLS from here on; this is its server's end."""
    # StreamWriter.start_tls does this since Python 3.11.
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await loop.start_tls(stream[1].transport, protocol, context, server_side=True)
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copies bytes until the source ends."""
    while data := await source.read(65536):
        target.write(data)
        await target.drain()


async def first(*directions: Awaitable[None]) -> None:
    """Waits until one of the directions of a connection ends, and cancels the others."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, OSError | EOFError):
                raise result
