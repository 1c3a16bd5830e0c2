"""Group commit: calls that arrive while a round trip is under way share the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items for `send`, which takes a sequence of them and answers with as many results.

    The first item leaves at once; those that come meanwhile go together, at most `max_items` a time.
    An error of `send` reaches every caller of that batch, and no other.
    """

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]], max_items: int = 500) -> None:
        self._send = send
        self._max_items = max_items
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
                size = min(self._max_items, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(size)]
                await self._send_batch(batch)
        finally:
            self._task = None

    async def _send_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._send([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
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
