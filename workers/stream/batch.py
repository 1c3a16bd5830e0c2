"""Group commit: calls that arrive while a round trip is under way share the next one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from workers.stream.link.errors import is_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# A round trip that takes longer waits for a slow disk: then it is worth waiting for what can share it.
SLOW_S = 0.002

Receiver: TypeAlias = "asyncio.Future[R] | Callable[[R | BaseException], None]"


class Batcher(Generic[T, R]):
    """Collects items for `send`, which takes a sequence of them and answers with as many results, in their order.

    The first item leaves at once. Those that come during its round trip leave together when it is over: at most
    `max_items`, and no more than it takes to reach `max_bytes` by `size_of`. (With `max_bytes` 10, items of 4, 5, 3
    and 9 bytes leave as 4, 5, 3 and then 9.)

    If `send` raises, each item of that batch is answered with the exception. If the exception means that the server is
    unavailable, so are the items still queued: they would fail in the same way, only later.

    With `resends_singly` the items of a batch that was refused are sent again one by one, so that one which the server
    won't take does not take the others with it. Then `send` must be safe to repeat; no other item fails with one.

    `gather` is awaited before each batch: it may wait for more items, of which as many as `len` says are there. With
    `beside_s` items don't wait for a slow round trip: if the last two took that long or longer, and the last batch left
    about so long ago, they leave beside it, ungathered. (With 0.002, items that come 0.1 and 0.8 ms after a batch leave
    together 2.1 ms after it, if it is not back by then.) Then batches may arrive in another order.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        max_items: int = 500,
        size_of: Callable[[T], int] | None = None,
        max_bytes: int = 8 * 1024 * 1024,
        resends_singly: bool = False,
        gather: Callable[[], Awaitable[None]] | None = None,
        beside_s: float | None = None,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._size_of = size_of
        self._max_bytes = max_bytes
        self._resends_singly = resends_singly
        self.gather = gather
        self._beside_s = beside_s
        self._beside: set[asyncio.Task[None]] = set()
        self._is_gathering = False
        self._timer: asyncio.TimerHandle | None = None
        self._sent_s = 0.0
        self._took_s = (0.0, 0.0)  # the last two round trips
        self._singles = 0  # this many of those queued are sent one by one
        self._queued: deque[tuple[T, Receiver[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def takes_s(self) -> float:
        """How long a round trip takes: the shorter one of the last two, as any may have had to wait for once."""
        return min(self._took_s)

    def __len__(self) -> int:
        return len(self._queued)

    def put(self, item: T, receiver: Receiver[R]) -> None:
        """Queues an item. A callable receiver gets the result, the exception of `send`, or CancelledError (given up).

        It must not raise. It costs less than a future, and no cancel of a caller reaches it.
        """
        self._queued.append((item, receiver))
        self._wake(asyncio.get_running_loop())

    def submit(self, item: T) -> asyncio.Future[R]:
        """Queues an item; the future has its result once its batch is answered."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queued.append((item, future))
        self._wake(loop)
        return future

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is None:
            self._task = loop.create_task(self._drain())
        elif self._beside_s is not None and self._timer is None and self.takes_s >= self._beside_s:
            self._timer = loop.call_later(self._beside_s, self._send_beside)

    def _send_beside(self) -> None:
        self._timer = None
        if self._task is None or self._is_gathering or not self._queued or self._beside_s is None:
            return
        loop = asyncio.get_running_loop()
        left_s = self._sent_s + self._beside_s - time.monotonic()
        if left_s < self._beside_s / 2:  # timers of uvloop have whole milliseconds
            task = loop.create_task(self._send_batch(self._next_batch()))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)
            left_s = self._beside_s
        if self._queued:
            self._timer = loop.call_later(left_s, self._send_beside)

    async def _drain(self) -> None:
        try:
            while self._queued:
                if self.gather is not None:
                    self._is_gathering = True
                    await self.gather()
                    self._is_gathering = False
                await self._send_batch(self._next_batch())
        finally:
            self._task, self._is_gathering = None, False
            # Items are left only if this task was cancelled; nobody else would answer them.
            self._fail_queued(asyncio.CancelledError())

    def _next_batch(self) -> list[tuple[T, Receiver[R]]]:
        self._sent_s = time.monotonic()
        queued, size_of, left_bytes = self._queued, self._size_of, self._max_bytes
        if self._singles:
            self._singles -= 1
            return [queued.popleft()]
        count = min(self._max_items, len(queued))
        if size_of is None:
            return [queued.popleft() for _ in range(count)]
        batch: list[tuple[T, Receiver[R]]] = []
        for _ in range(count):
            entry = queued.popleft()
            batch.append(entry)
            left_bytes -= size_of(entry[0])
            if left_bytes <= 0:
                break
        return batch

    async def _send_batch(self, batch: list[tuple[T, Receiver[R]]]) -> None:
        began_s = time.monotonic()
        try:
            results = await self._send([item for item, _ in batch])
            self._took_s = self._took_s[1], time.monotonic() - began_s
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:  # noqa: BLE001
            if self._resends_singly and len(batch) > 1:
                logger.warning("%d items were refused (%s), sending them one by one", len(batch), error)
                self._singles = len(batch)
                self._queued.extendleft(reversed(batch))
                return
            _fail(batch, error)
            if is_unavailable(error) and not self._resends_singly:
                self._fail_queued(error)
        except asyncio.CancelledError as error:
            _fail(batch, error)
            raise
        else:
            for (_, receiver), result in zip(batch, results, strict=True):
                if not isinstance(receiver, asyncio.Future):
                    receiver(result)
                elif not receiver.done():
                    receiver.set_result(result)

    def _fail_queued(self, error: BaseException) -> None:
        queued, self._queued, self._singles = self._queued, deque(), 0
        _fail(queued, error)

    async def close(self) -> None:
        """Sends what is queued, and returns when it is answered."""
        while tasks := self._tasks():
            await asyncio.wait(tasks)

    async def abandon(self) -> None:
        """Gives up what has not been answered."""
        task = self._task
        for one in (tasks := self._tasks()):
            one.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if task is not None and self._task is task:  # cancelled before its first step
            self._task = None
            self._fail_queued(asyncio.CancelledError())

    def _tasks(self) -> set[asyncio.Task[None]]:
        return self._beside if self._task is None else {*self._beside, self._task}


def _fail(entries: Iterable[tuple[T, Receiver[R]]], error: BaseException) -> None:
    for _, receiver in entries:
        if not isinstance(receiver, asyncio.Future):
            receiver(error)
        elif isinstance(error, asyncio.CancelledError):
            receiver.cancel()
        elif not receiver.done():
            receiver.set_exception(error)
