"""TLS and RDS's authentication in front of a Postgres server, which trusts the front."""

import asyncio
import ssl
import struct
from collections.abc import Callable
from typing import NamedTuple

from local_cloud.fronts import Listener, Stream, connect, copy, first, start_tls

# "Message Formats" in the PostgreSQL documentation: what a client asks for before its first message.
_SSL, _GSS_ENCRYPTION, _CANCEL = 80877103, 80877104, 80877102
_CLEAR_TEXT_PASSWORD = 3
# Longer than any IAM token.
_LONGEST_MESSAGE = 65536


class Refused(Exception):
    """A connection that the server refuses; the code is an SQLSTATE, the text is for the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


Authenticate = Callable[[str, str], None]
"""Checks the password of a user; raises ``Refused``."""


class Startup(NamedTuple):
    """The start of a session: the message, and what it says."""

    message: bytes
    parameters: dict[str, str]


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def error(severity: str, code: str, text: str) -> bytes:
    fields = [f"S{severity}", f"V{severity}", f"C{code}", f"M{text}"]
    return message(b"E", b"".join(field.encode() + b"\0" for field in fields) + b"\0")


def password_refused(user: str) -> Refused:
    return Refused("28P01", f'password authentication failed for user "{user}"')


def token_refused(user: str) -> Refused:
    """RDS says no more of why it refuses a token."""
    return Refused("28000", f'PAM authentication failed for user "{user}"')


async def log_in(
    stream: Stream, context: ssl.SSLContext, authenticate: Authenticate, cancel: Callable[[bytes], asyncio.Future]
) -> tuple[Stream, Startup] | None:
    """The stream in TLS, and the start of its session, whose user is authenticated; ``None`` if there is no session.

    ``cancel`` gets a request to cancel another session's statement.
    """
    reader, writer = stream
    is_encrypted = False
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        if not len(head) <= length <= _LONGEST_MESSAGE:
            return None
        if code == _SSL and not is_encrypted:
            writer.write(b"S")
            reader, writer = await start_tls((reader, writer), context)
            is_encrypted = True
        elif code == _GSS_ENCRYPTION:
            writer.write(b"N")
        elif code == _CANCEL:
            await cancel(head + await reader.readexactly(length - len(head)))
            return None
        else:
            break
    body = await reader.readexactly(length - len(head))
    words = body.split(b"\0")
    parameters = {
        name.decode(): value.decode(errors="replace")
        for name, value in zip(words[0::2], words[1::2], strict=False)
        if name
    }
    user = parameters.get("user", "")
    try:
        if not is_encrypted:
            database = parameters.get("database", user)
            raise Refused(
                "28000",
                f'no pg_hba.conf entry for host "127.0.0.1", user "{user}", database "{database}", no encryption',
            )
        writer.write(message(b"R", struct.pack("!I", _CLEAR_TEXT_PASSWORD)))
        kind, length = struct.unpack("!cI", await reader.readexactly(5))
        if kind != b"p" or length > _LONGEST_MESSAGE:
            raise Refused("08P01", "expected password response")
        password = (await reader.readexactly(length - 4)).rstrip(b"\0").decode(errors="replace")
        # It may ask the database.
        await asyncio.get_running_loop().run_in_executor(None, authenticate, user, password)
    except Refused as refusal:
        writer.write(error("FATAL", refusal.code, str(refusal)))
        await writer.drain()
        writer.close()
        return None
    return (reader, writer), Startup(head + body, parameters)


class PostgresFront:
    """An endpoint of a server: each connection is one to the server."""

    def __init__(
        self, address: str, port: int, context: ssl.SSLContext, server_port: int, authenticate: Authenticate
    ) -> None:
        self._context = context
        self.server_port = server_port
        self._authenticate = authenticate
        self.listener = Listener(address, port, self._serve)

    async def _serve(self, stream: Stream) -> None:
        # First, so that no connection to a server that is down is accepted.
        server_reader, server_writer = await connect(self.server_port)
        try:

            async def cancel(request: bytes) -> None:
                server_writer.write(request)
                await server_reader.read()

            session = await log_in(stream, self._context, self._authenticate, cancel)
            if session:
                (reader, writer), startup = session
                server_writer.write(startup.message)
                await first(copy(reader, server_writer), copy(server_reader, writer))
        finally:
            server_writer.close()
