"""Function calls to the server over one connection, many at once: less work per call than a pool's connections."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers.stream.duplex import Duplex, open_connection

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


class _Wire(Duplex):
    """Replies come in the order of the calls.

    If the oldest call is not answered within `timeout_s` seconds, it and all behind it fail.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float | None) -> None:
        super().__init__(connection)
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._calls: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def call(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Sends a command; the future has its reply."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(*command)
        self._calls.append((self._loop.time(), future))
        if self._timer is None and self._timeout_s is not None:
            self._timer = self._loop.call_later(self._timeout_s, self._check)
        return future

    def on_reply(self, reply: Any) -> None:
        _, future = self._calls.popleft()
        if future.done():  # cancelled
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _check(self) -> None:
        self._timer = None
        if not self._calls or self._timeout_s is None:
            return
        left_s = self._calls[0][0] + self._timeout_s - self._loop.time()
        if left_s <= 0:
            self.close(RedisTimeoutError(f"no answer within {self._timeout_s:g} s"))
        else:
            self._timer = self._loop.call_later(left_s, self._check)

    def on_close(self, error: Exception) -> None:
        """Fails every call that has no reply yet."""
        if self._timer is not None:
            self._timer.cancel()
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
            wire = await self._open_in_time()
        return await wire.call(args)

    async def _open_in_time(self) -> _Wire:
        # redis-py's timeouts hold for each step of opening alone, and calls wait for one another here.
        timeout_s = self.connection_pool.connection_kwargs.get("socket_timeout")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open()
        except TimeoutError:
            raise RedisTimeoutError(f"no connection within {timeout_s:g} s") from None

    async def _open(self) -> _Wire:
        async with self._opening:
            if self._wire is None or self._wire.closed:
                connection = await open_connection(self.connection_pool)
                self._wire = _Wire(connection, connection.socket_timeout)
            return self._wire

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As in redis-py."""
        if self._wire is not None:
            self._wire.close(RedisConnectionError("the client was closed"))
            await self._wire.wait_closed()
        await super().aclose(close_connection_pool)
