"""A stand-in for RDS Proxy: many clients share few connections to a Postgres server.

A client has a connection to the server while it is in a transaction. A statement that changes its session pins it: the
client then keeps its connection to the server until it ends ("Avoiding pinning an RDS Proxy" in the Aurora User Guide).
"""

import asyncio
import contextlib
import re
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from local_cloud.fronts import Listener, Stream, connect, run
from local_cloud.postgres_front import Authenticate, Refused, Startup, error, log_in, message

# RDS Proxy has a share of the connections that the database allows; this is small, so that a test can use them all.
MOST_CONNECTIONS = 5
LONGEST_STATEMENT = 16 * 1024
_STATEMENT_SHOWN = 200
_PROTOCOL_3 = 196608
_PIECE = 65536
_SECONDS_BETWEEN_TRIES = 0.05

# Comments, and literals and quoted names, whose contents are no SQL.
_NOT_SQL = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\$\w*\$).*?\1", re.DOTALL)
_PINNING = {
    "SET": re.compile(r"^\s*(?:re)?set\b|\bset_config\s*\("),
    "a prepared statement of SQL": re.compile(r"^\s*(?:prepare|execute|deallocate|discard)\b"),
    "a temporary object": re.compile(
        r"^\s*create\s+(?:or\s+replace\s+)?(?:global\s+|local\s+)?temp(?:orary)?\b|\binto\s+temp(?:orary)?\b"
    ),
    "a cursor": re.compile(r"^\s*declare\b"),
    "LISTEN": re.compile(r"^\s*(?:un)?listen\b"),
    "a library": re.compile(r"^\s*load\b"),
    "a sequence": re.compile(r"\b(?:nextval|setval|currval|lastval)\s*\("),
    "a session-level advisory lock": re.compile(r"\bpg_(?:try_)?advisory_(?:un)?lock\w*\s*\("),
}


def pinning(text: str) -> str | None:
    """What in these statements pins a session, if anything does."""
    if len(text.encode()) > LONGEST_STATEMENT:
        return "a statement of more than 16 KB"
    for statement in _NOT_SQL.sub(" ", text).lower().split(";"):
        for reason, pattern in _PINNING.items():
            if pattern.search(statement):
                return reason
    return None


class Pin(NamedTuple):
    """A session that was pinned, and why."""

    user: str
    reason: str
    statement: str


class _Server:
    """A connection to the server, and the settings that it reported."""

    def __init__(self, stream: Stream, owner: tuple[str, str]) -> None:
        self.stream = stream
        self.owner = owner
        self.greeting = b""
        self._unasked: asyncio.Task[bytes] | None = None

    def rest(self) -> None:
        """To be called when no client has it. The server then only says that it ends the connection."""
        self._unasked = asyncio.ensure_future(self.stream[0].read(1))

    def wake(self) -> None:
        """To be called before a client gets it."""
        self._unasked.cancel()

    @property
    def is_closed(self) -> bool:
        return self._unasked.done()

    async def end(self) -> None:
        """Waits until the server has ended the connection: until then, it counts for the server."""
        reader, writer = self.stream
        if self._unasked:
            self.wake()
            await asyncio.wait([self._unasked])
        with contextlib.suppress(OSError):
            writer.write(message(b"X", b""))
            while await reader.read(_PIECE):
                pass
        writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The kind and the body of a message."""
    kind, length = struct.unpack("!cI", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)


class _Pool:
    """The connections to the server, of which one user's can't serve another's."""

    def __init__(self, port: int, seconds_to_wait: float) -> None:
        self.port = port
        self.seconds_to_wait = seconds_to_wait
        self._idle: list[_Server] = []
        self._lent = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def borrow(self, user: str, database: str) -> _Server:
        """A connection of this user to this database; raises ``Refused``."""
        deadline = time.monotonic() + self.seconds_to_wait
        try:
            await asyncio.wait_for(self._places.acquire(), self.seconds_to_wait)
        except asyncio.TimeoutError:
            raise _timed_out() from None
        self._lent += 1
        self._idle = [server for server in self._idle if not server.is_closed]
        for server in self._idle:
            if server.owner == (user, database):
                self._idle.remove(server)
                server.wake()
                return server
        connecting = asyncio.ensure_future(self._connect(user, database))
        try:
            await asyncio.wait([connecting], timeout=deadline - time.monotonic())
            if not connecting.done():
                raise _timed_out()
            return connecting.result()
        except BaseException:
            connecting.cancel()
            # The place is free when the server has ended the connection, which may be long after the client's time.
            connecting.add_done_callback(lambda _: self._free_place())
            raise

    def give_back(self, server: _Server, *, is_clean: bool) -> None:
        if is_clean:
            server.rest()
            self._idle.append(server)
            self._free_place()
        else:
            self._ending.add(asyncio.ensure_future(self._end(server)))

    async def _end(self, server: _Server) -> None:
        await server.end()
        self._free_place()
        self._ending.discard(asyncio.current_task())

    def _free_place(self) -> None:
        self._lent -= 1
        self._places.release()

    def drop(self) -> None:
        while self._idle:
            self._idle.pop().stream[1].close()

    async def _connect(self, user: str, database: str) -> _Server:
        while len(self._idle) + self._lent > MOST_CONNECTIONS:
            await self._idle.pop(0).end()
        while True:
            # While the server is down, clients wait for it.
            with contextlib.suppress(OSError, EOFError):
                return await self._log_in(user, database)
            await asyncio.sleep(_SECONDS_BETWEEN_TRIES)

    async def _log_in(self, user: str, database: str) -> _Server:
        stream = await connect(self.port)
        settings = {"user": user, "database": database, "client_encoding": "UTF8"}
        words = "".join(f"{name}\0{value}\0" for name, value in settings.items()).encode() + b"\0"
        stream[1].write(struct.pack("!II", len(words) + 8, _PROTOCOL_3) + words)
        server = _Server(stream, (user, database))
        try:
            while True:
                kind, body = await _read(stream[0])
                if kind == b"E":
                    fields = {field[:1]: field[1:].decode() for field in body.split(b"\0") if field}
                    raise Refused(fields[b"C"], fields[b"M"])
                if kind == b"S":
                    server.greeting += message(kind, body)
                if kind == b"Z":
                    return server
        except BaseException:
            await server.end()
            raise


def _timed_out() -> Refused:
    return Refused("08006", "Timed-out waiting to acquire database connection")


class PostgresProxy:
    """An endpoint of the proxy."""

    def __init__(
        self,
        address: str,
        port: int,
        context: ssl.SSLContext,
        authenticate: Authenticate,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_change`` is called when a session is pinned, and when a pinned one ends."""
        self._context = context
        self._authenticate = authenticate
        self._on_change = on_change
        self.pinned: list[Pin] = []
        """The sessions that are pinned now."""
        self.pins: deque[Pin] = deque(maxlen=1000)
        """The newest sessions that have been pinned."""
        self._pool = _Pool(0, 0)
        self.listener = Listener(address, port, self._serve)

    def lead_to(self, server_port: int, seconds_to_wait: float) -> None:
        """Sets the server, and how long a client waits for a connection to it."""
        run(self._empty_pool(server_port, seconds_to_wait))

    def stop(self) -> None:
        self.listener.close()
        run(self._empty_pool(self._pool.port, self._pool.seconds_to_wait))

    def start(self) -> None:
        self.listener.open()

    async def _empty_pool(self, *settings: Any) -> None:
        self._pool.drop()
        self._pool = _Pool(*settings)

    async def _serve(self, stream: Stream) -> None:
        async def cancel(request: bytes) -> None:
            """RDS Proxy doesn't cancel statements for a client."""

        session = await log_in(stream, self._context, self._authenticate, cancel)
        if session:
            await _Session(self, *session).run()

    def _pin(self, pin: Pin) -> None:
        self.pins.append(pin)
        self.pinned.append(pin)
        self._on_change()

    def _unpin(self, pin: Pin) -> None:
        self.pinned.remove(pin)
        self._on_change()


class _Session:
    """A client of the proxy."""

    def __init__(self, proxy: PostgresProxy, stream: Stream, startup: Startup) -> None:
        self._proxy = proxy
        self._pool = proxy._pool
        self._reader, self._writer = stream
        self._parameters = startup.parameters
        self._user = startup.parameters["user"]
        self._database = startup.parameters.get("database", self._user)
        self._server: _Server | None = None
        self._answers: asyncio.Task[None] | None = None
        # The requests whose end the server has not reported yet.
        self._pending = 0
        # Whether there were messages after the last request's end: they belong to the next one.
        self._is_open = False
        self._pin: Pin | None = None

    async def run(self) -> None:
        try:
            if "options" in self._parameters:
                raise Refused(
                    "0A000", "Feature not supported: RDS Proxy currently doesn't support command-line options."
                )
            await self._borrow()
            greeting = self._server.greeting
            self._release(is_clean=True)
            authenticated = message(b"R", struct.pack("!I", 0))
            self._writer.write(authenticated + greeting + message(b"Z", b"I"))
            while True:
                kind, body = await _read(self._reader)
                if kind == b"X":
                    break
                if self._server is None:
                    await self._borrow()
                    self._answers = asyncio.ensure_future(self._answer())
                self._note(kind, body)
                self._server.stream[1].write(message(kind, body))
                await self._server.stream[1].drain()
        except Refused as refusal:
            self._writer.write(error("FATAL", refusal.code, str(refusal)))
            await self._writer.drain()
        finally:
            if self._answers:
                self._answers.cancel()
                await asyncio.wait([self._answers])
            if self._server:
                self._release(is_clean=False)
            if self._pin:
                self._proxy._unpin(self._pin)

    async def _borrow(self) -> None:
        self._server = await self._pool.borrow(self._user, self._database)

    def _release(self, *, is_clean: bool) -> None:
        self._pool.give_back(self._server, is_clean=is_clean)
        self._server = None

    def _note(self, kind: bytes, body: bytes) -> None:
        if kind in b"QSF":
            self._pending += 1
            self._is_open = False
        elif kind in b"PBDECH":
            self._is_open = True
        if self._pin or kind not in b"QP":
            return
        name, _, rest = body.partition(b"\0") if kind == b"P" else (b"", b"", body)
        text = rest.partition(b"\0")[0].decode(errors="replace")
        if reason := pinning(text) or ("a named prepared statement" if name else None):
            self._pin = Pin(self._user, reason, text[:_STATEMENT_SHOWN])
            self._proxy._pin(self._pin)

    async def _answer(self) -> None:
        """Passes on the server's answers until the transaction has ended."""
        try:
            while True:
                kind, body = await _read(self._server.stream[0])
                self._writer.write(message(kind, body))
                if kind == b"Z":
                    self._pending -= 1
                    is_done = body == b"I" and self._pending == 0 and not self._is_open
                    if is_done and not self._pin:
                        self._release(is_clean=True)
                        break
                await self._writer.drain()
        except (OSError, EOFError):
            # The server is gone, and with it the transaction.
            self._writer.close()
            self._reader.feed_eof()
