"""Calls to the server, many at once over few connections: less work per call than a pool of connections."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from workers.stream.link.duplex import DuplexConnection, open_connection
from workers.stream.link.errors import is_stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection, ConnectionPool

# A connection that is younger is not given up for a reply that it is stale: in the middle of a failover a new one would
# lead to the same server.
_LEAST_AGE_S = 0.5
_CHECKS_PER_TIMEOUT = 4
# What is on its way in buffers between here and the server is not seen to move. A link is taken to be no slower than
# this: a command of 15 MB gets 15 s more for its reply.
SLOWEST_BYTES_PER_S = 1_000_000


class Lane(StrEnum):
    """Connections of their own, so that what takes long on one holds up nothing on another. Each opens when needed."""

    CALLS = "calls"  # whatever is short
    CLAIMS = "claims"  # a reply may have megabytes of payloads
    RESULTS = "results"  # a reply may have megabytes of results or payloads
    UPLOADS = "uploads"  # large pushes and finishes
    REPLICATED = "replicated"  # pushes that wait for replicas


class _Pipeline(DuplexConnection):
    """A connection that sends each call at once; replies come in the order of the calls.

    If a call waits for its reply, and nothing at all is sent or received for `timeout_s` seconds, the connection is
    closed and every call on it fails. `on_stale` is called if a reply says that another server should be asked.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float | None, on_stale: Callable[[], None]) -> None:
        super().__init__(connection)
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._on_stale = on_stale
        # Each with the time at which it should be with the server at the latest.
        self._calls: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._moved_s = self._opened_s = self._loop.time()
        self._seen_bytes: int | None = None  # sent by the last check, if there was more to send
        self._stale = self._retired = False

    @property
    def takes_calls(self) -> bool:
        """Whether it is neither closed nor to be closed."""
        return not (self.closed or self._retired or (self._stale and self._is_old))

    @property
    def _is_old(self) -> bool:
        return self._loop.time() - self._opened_s >= _LEAST_AGE_S

    def call(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Sends a command; the future has its reply."""
        future: asyncio.Future[Any] = self._loop.create_future()
        size_bytes = self.send(*command)
        self._calls.append((self._loop.time() + size_bytes / SLOWEST_BYTES_PER_S, future))
        if self._timer is None and self._timeout_s is not None:
            self._timer = self._loop.call_later(self._timeout_s / _CHECKS_PER_TIMEOUT, self._check)
        return future

    def retire(self) -> None:
        """Takes no more calls as soon as it is old enough, and closes then, once those under way are answered."""
        self._stale = True
        if not self._is_old:
            return
        self._retired = True
        if not self._calls:
            self.close(RedisConnectionError("another server may be behind the address by now"))

    def data_received(self, data: bytes) -> None:
        self._moved_s = self._loop.time()
        super().data_received(data)

    def on_reply(self, reply: Any) -> None:
        _, future = self._calls.popleft()
        if isinstance(reply, Exception):
            if not future.done():
                future.set_exception(reply)
            if is_stale(reply):
                self._on_stale()
        elif not future.done():  # it is done if it was cancelled
            future.set_result(reply)
        if self._retired and not self._calls:
            self.retire()

    def _check(self) -> None:
        self._timer = None
        if not self._calls or self._timeout_s is None:
            self._seen_bytes = None
            return
        now_s, sent_bytes = self._loop.time(), self.sent_bytes
        if self._seen_bytes is not None and sent_bytes > self._seen_bytes:
            self._moved_s = now_s
        self._seen_bytes = sent_bytes if self.unsent_bytes else None
        left_s = max(self._calls[0][0], self._moved_s) + self._timeout_s - now_s
        if left_s <= 0:
            self.close(RedisTimeoutError(f"no answer within {self._timeout_s:g} s"))
        else:
            wait_s = min(left_s, self._timeout_s / _CHECKS_PER_TIMEOUT)
            self._timer = self._loop.call_later(wait_s, self._check)

    def on_close(self, error: Exception) -> None:
        """Fails every call that has no reply yet."""
        if self._timer is not None:
            self._timer.cancel()
        while self._calls:
            _, future = self._calls.popleft()
            if not future.done():
                future.set_exception(error)


class _LaneConnection:
    """The present connection of one lane. `on_reopen` is called with each but the first."""

    def __init__(self, pool: ConnectionPool, on_stale: Callable[[], None], on_reopen: Callable[[], None]) -> None:
        self._pool = pool
        self._on_stale = on_stale
        self._on_reopen = on_reopen
        self._opening = asyncio.Lock()
        self._retired: list[_Pipeline] = []
        self.pipeline: _Pipeline | None = None

    async def opened(self) -> _Pipeline:
        """The connection, opened if it is not. Raises what connecting does, and redis-py's TimeoutError."""
        # redis-py's timeouts hold for each single step of opening, and here a call may wait for another's opening too.
        timeout_s = self._pool.connection_kwargs.get("socket_timeout")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open()
        except TimeoutError:
            raise RedisTimeoutError(f"no connection within {timeout_s:g} s") from None

    async def _open(self) -> _Pipeline:
        async with self._opening:
            before = self.pipeline
            if before is not None and before.takes_calls:
                return before
            connection = await open_connection(self._pool)
            self.pipeline = _Pipeline(connection, connection.socket_timeout, self._on_stale)
            if before is not None:
                before.retire()
                self._retired = [one for one in (*self._retired, before) if not one.closed]
                self._on_reopen()
            return self.pipeline

    def retire(self) -> None:
        """Lets the next call open a new connection."""
        if self.pipeline is not None and self.pipeline.takes_calls:
            self.pipeline.retire()

    async def close(self) -> None:
        """Fails what has no reply yet."""
        for pipeline in (*self._retired, self.pipeline):
            if pipeline is not None:
                pipeline.close(RedisConnectionError("the client was closed"))
                await pipeline.wait_closed()


class PipelinedRedis(ArqRedis):
    """A redis client whose FCALLs go over one connection, and other calls over `call`'s; the rest goes over the pool.

    A reply that another server may be behind the address by now (a failover) makes the next calls open new connections.
    `on_reopen`, if it is set, is called when the lane of the short calls has got another connection.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lanes: dict[Lane, _LaneConnection] = {}
        self.on_reopen: Callable[[], None] | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py."""
        if args[0] == "FCALL":
            return await self.call(Lane.CALLS, *args)
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except Exception as error:
            if is_stale(error):
                self._retire()
                await self.connection_pool.disconnect(inuse_connections=False)
            raise

    async def call(self, lane: Lane, *command: Any) -> Any:
        """Sends a command over a lane; its reply."""
        return await (await self._pipeline(lane)).call(command)

    async def call_both(self, lane: Lane, first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[Any, Any]:
        """Sends two commands over a lane, with nothing between them; their replies. Raises the first one's error."""
        pipeline = await self._pipeline(lane)
        replies = await asyncio.gather(pipeline.call(first), pipeline.call(second), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies[0], replies[1]

    async def _pipeline(self, lane: Lane) -> _Pipeline:
        connection = self._lanes.get(lane)
        if connection is None:
            reopened = self._reopened if lane is Lane.CALLS else _nothing
            connection = self._lanes[lane] = _LaneConnection(self.connection_pool, self._retire, reopened)
        pipeline = connection.pipeline
        if pipeline is not None and pipeline.takes_calls:
            return pipeline
        return await connection.opened()

    def _retire(self) -> None:
        for connection in self._lanes.values():
            connection.retire()

    def _reopened(self) -> None:
        if self.on_reopen is not None:
            self.on_reopen()

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As in redis-py."""
        for connection in self._lanes.values():
            await connection.close()
        await super().aclose(close_connection_pool)


def _nothing() -> None:
    pass
