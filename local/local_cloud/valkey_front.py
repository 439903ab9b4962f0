"""TLS and ElastiCache's authentication in front of Valkey.

Valkey itself knows the users and what each may do. The front replaces a password that it has checked with the one that
Valkey knows, so answers stay in order and Valkey refuses what a user may not do.
"""

import asyncio
import ssl
from collections.abc import Callable

from local_cloud.fronts import Listener, Stream, connect, copy, first, start_tls

Authenticate = Callable[[str, str], str | None]
"""The password by which Valkey knows a user, or ``None`` if the one that the client gave is wrong."""


def command(*arguments: bytes) -> bytes:
    """A command as the protocol writes it (RESP in the Valkey documentation)."""
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in arguments)


async def _read(reader: asyncio.StreamReader) -> list[bytes]:
    """The next command."""
    line = await reader.readuntil(b"\r\n")
    if not line.startswith(b"*"):
        return line.split()
    arguments = []
    for _ in range(int(line[1:])):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        arguments.append((await reader.readexactly(length + 2))[:-2])
    return arguments


class ValkeyFront:
    """An endpoint of a cache."""

    def __init__(
        self, address: str, port: int, context: ssl.SSLContext, server_port: int, authenticate: Authenticate
    ) -> None:
        self._context = context
        self._server_port = server_port
        self._authenticate = authenticate
        self.listener = Listener(address, port, self._serve)

    async def _serve(self, stream: Stream) -> None:
        # The client's first bytes are TLS.
        stream[1].transport.pause_reading()
        # First, so that no connection to a server that is down is accepted.
        server_reader, server_writer = await connect(self._server_port)
        try:
            reader, writer = await start_tls(stream, self._context)
            await first(self._pass_on(reader, server_writer), copy(server_reader, writer))
        finally:
            server_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while True:
            arguments = await _read(reader)
            if arguments and arguments[0].upper() in (b"AUTH", b"HELLO"):
                arguments = await self._with_known_password(arguments)
            server.write(command(*arguments))
            await server.drain()

    async def _with_known_password(self, arguments: list[bytes]) -> list[bytes]:
        """``AUTH [user] password`` or ``HELLO version AUTH user password``, with the password that Valkey knows."""
        words = [word.upper() for word in arguments]
        at = words.index(b"AUTH") + 1 if b"AUTH" in words else len(words)
        if words[0] == b"AUTH" and len(words) == 2:
            arguments = [arguments[0], b"default", arguments[1]]
        if len(arguments) < at + 2:
            return arguments
        user, password = (word.decode(errors="replace") for word in arguments[at : at + 2])
        known = await asyncio.get_running_loop().run_in_executor(None, self._authenticate, user, password)
        return [*arguments[: at + 1], (known or "").encode(), *arguments[at + 2 :]]
