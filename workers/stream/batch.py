"""Group commit: calls that arrive while a round trip is under way share the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from workers.stream.connection import is_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items for `send`, which takes a sequence of them and answers with as many results.

    The first item leaves at once; those that come meanwhile go together, at most `max_items` a time, and
    no more than it takes to reach `max_bytes` by `size_of`. An error of `send` reaches every caller of that
    batch; that the server is unavailable, those that wait as well.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        max_items: int = 500,
        size_of: Callable[[T], int] | None = None,
        max_bytes: int = 8 * 1024 * 1024,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._size_of = size_of
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: T) -> asyncio.Future[R]:
        """Queues an item; the future has its result once the batch that it went with is answered."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = loop.create_task(self._drain())
        return future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._send_batch(self._next_batch())
        finally:
            self._task = None
            # Only where this was cancelled: nobody would answer these.
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _next_batch(self) -> list[tuple[T, asyncio.Future[R]]]:
        count = min(self._max_items, len(self._waiting))
        if self._size_of is None:
            return [self._waiting.popleft() for _ in range(count)]
        batch: list[tuple[T, asyncio.Future[R]]] = []
        size_bytes = 0
        while len(batch) < count and size_bytes < self._max_bytes:
            batch.append(self._waiting.popleft())
            size_bytes += self._size_of(batch[-1][0])
        return batch

    async def _send_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._send([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:  # noqa: BLE001
            if is_unavailable(error):
                # Those that wait have waited as long, and would be told the same after as long again.
                batch = [*batch, *self._waiting]
                self._waiting.clear()
            _fail(batch, error)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def close(self) -> None:
        """Sends what waits, and returns when it is answered."""
        if self._task is not None:
            await asyncio.wait([self._task])


def _fail(batch: list[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
