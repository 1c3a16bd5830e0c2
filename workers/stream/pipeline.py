"""Function calls to the server, many at once over one connection: less work per call than a pool of connections."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers.stream.duplex import DuplexConnection, open_connection

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


class _Pipeline(DuplexConnection):
    """A connection that sends each call at once; replies come in the order of the calls.

    If the oldest call is not answered within `timeout_s` seconds, the connection is closed and every call on it fails.
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


class PipelinedRedis(ArqRedis):
    """A redis client whose FCALLs share one connection, opened at the first call; other commands go over the pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pipeline: _Pipeline | None = None
        self._opening = asyncio.Lock()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py."""
        if args[0] != "FCALL":
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        pipeline = self._pipeline
        if pipeline is None or pipeline.closed:
            pipeline = await self._open_in_time()
        return await pipeline.call(args)

    async def _open_in_time(self) -> _Pipeline:
        # redis-py's timeouts hold for each single step of opening, and here a call may wait for another's opening too.
        timeout_s = self.connection_pool.connection_kwargs.get("socket_timeout")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open()
        except TimeoutError:
            raise RedisTimeoutError(f"no connection within {timeout_s:g} s") from None

    async def _open(self) -> _Pipeline:
        async with self._opening:
            if self._pipeline is None or self._pipeline.closed:
                connection = await open_connection(self.connection_pool)
                self._pipeline = _Pipeline(connection, connection.socket_timeout)
            return self._pipeline

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As in redis-py."""
        if self._pipeline is not None:
            self._pipeline.close(RedisConnectionError("the client was closed"))
            await self._pipeline.wait_closed()
        await super().aclose(close_connection_pool)
