"""Function calls to the server over one connection, many at once: less work per call than a pool's connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis
from arq.connections import ArqRedis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

_NOTHING = object()


class _Wire(asyncio.Protocol):
    """Takes over a connection that a redis client has opened; replies come in the order of the calls.

    If the oldest call is not answered within `timeout_s` seconds, it and all behind it fail.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._timeout_s = timeout_s
        self._calls: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_NOTHING
        )
        self.closed = False
        self._lost = asyncio.Event()
        writer = connection._writer  # noqa: SLF001
        if writer is None:
            raise RedisConnectionError("the connection was closed")
        self._transport = writer.transport
        self._transport.set_protocol(self)

    def call(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Sends a command; the future has its reply."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._transport.write(hiredis.pack_command(command))
        self._calls.append((self._loop.time(), future))
        if self._timer is None and self._timeout_s is not None:
            self._timer = self._loop.call_later(self._timeout_s, self._check)
        return future

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                _, future = self._calls.popleft()
                if future.done():  # cancelled
                    continue
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (InvalidResponse, IndexError) as error:
            self.close(RedisConnectionError(f"the server broke the protocol: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()
        self.close(RedisConnectionError(f"the connection was lost: {error or 'closed by the server'}"))

    async def wait_closed(self) -> None:
        """Returns when the transport is gone, or after a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._lost.wait()

    def _check(self) -> None:
        self._timer = None
        if not self._calls or self._timeout_s is None:
            return
        left_s = self._calls[0][0] + self._timeout_s - self._loop.time()
        if left_s <= 0:
            self.close(RedisTimeoutError(f"no answer within {self._timeout_s:g} s"))
        else:
            self._timer = self._loop.call_later(left_s, self._check)

    def close(self, error: Exception) -> None:
        """Fails every call that has no reply yet, and disconnects."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        _forget(self._connection)
        while self._calls:
            _, future = self._calls.popleft()
            if not future.done():
                future.set_exception(error)


class WireRedis(ArqRedis):
    """A redis client that sends FCALL, and nothing else, over a connection of its own, opened when it is needed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wire: _Wire | None = None
        self._opening = asyncio.Lock()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py."""
        if args[0] != "FCALL":
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        wire = self._wire
        if wire is None or wire.closed:
            wire = await self._open()
        return await wire.call(args)

    async def _open(self) -> _Wire:
        async with self._opening:
            if self._wire is None or self._wire.closed:
                connection: AbstractConnection = self.connection_pool.make_connection()  # type: ignore[no-untyped-call]
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]
                    self._wire = _Wire(connection, connection.socket_timeout)
                except BaseException:
                    _forget(connection)
                    raise
            return self._wire

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As in redis-py."""
        if self._wire is not None:
            self._wire.close(RedisConnectionError("the client was closed"))
            # A loop that is closed over a TLS transport that is not quite gone may hang (uvloop).
            await self._wire.wait_closed()
        await super().aclose(close_connection_pool)


def _forget(connection: AbstractConnection) -> None:
    """Closes it without waiting, so that it doesn't complain of being left open."""
    connection._close()  # type: ignore[no-untyped-call]  # noqa: SLF001
