"""A connection to the server that is read and written at once, without redis-py's turn-taking."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from typing import TYPE_CHECKING, Any

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection, ConnectionPool

_NOTHING = object()


async def open_connection(pool: ConnectionPool) -> AbstractConnection:
    """A connection made as the pool makes its own (TLS, password, database) that is not part of the pool."""
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        _forget(connection)
        raise
    return connection


class DuplexConnection(asyncio.Protocol):
    """Takes over an open connection of redis-py and closes it at its own end."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_NOTHING
        )
        self.closed = False
        self._written_bytes = 0
        self._lost = asyncio.Event()
        writer = connection._writer  # noqa: SLF001
        if writer is None:
            raise RedisConnectionError("the connection was closed")
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self._fd: int = self._transport.get_extra_info("socket").fileno()

    def on_reply(self, reply: Any) -> None:
        """Gets what the server has sent; an exception is an error reply. What it raises closes the connection."""
        raise NotImplementedError

    def on_close(self, error: Exception) -> None:
        """Called once, with the reason."""
        raise NotImplementedError

    def send(self, *command: Any) -> int:
        """Writes a command; its size in bytes. Raises ConnectionError if the connection is closed."""
        # uvloop closes a transport a little before it says so, and writing to it then raises RuntimeError.
        if self.closed or self._transport.is_closing():
            raise RedisConnectionError("the connection was closed")
        data = hiredis.pack_command(command)
        self._written_bytes += len(data)
        self._transport.write(data)
        return len(data)

    @property
    def unsent_bytes(self) -> int:
        """How much of what was written the other side's kernel has not confirmed yet."""
        waiting = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):  # not a TCP socket
            waiting += struct.unpack("i", fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        return waiting

    @property
    def sent_bytes(self) -> int:
        """How much it has confirmed."""
        return self._written_bytes - self.unsent_bytes

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                self.on_reply(reply)
        except (InvalidResponse, IndexError) as error:
            self.close(RedisConnectionError(f"the server broke the protocol: {error}"))
        except Exception as error:  # noqa: BLE001
            self.close(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()
        self.close(RedisConnectionError(f"the connection was lost: {error or 'closed by the server'}"))

    def close(self, error: Exception) -> None:
        """Disconnects; the first reason stands."""
        if self.closed:
            return
        self.closed = True
        self._transport.abort()
        _forget(self._connection)
        self.on_close(error)

    async def wait_closed(self) -> None:
        """Returns when the transport is gone, or after a second.

        uvloop may hang if it is closed while a TLS transport is not quite gone.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._lost.wait()


def _forget(connection: AbstractConnection) -> None:
    """Closes it without waiting; redis-py warns of connections that are left open."""
    connection._close()  # type: ignore[no-untyped-call]  # noqa: SLF001
