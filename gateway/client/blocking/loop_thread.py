"""An event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import LeadtimeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

T = TypeVar("T")

_CLOSE_S = 8.0


class LoopThread:
    """Runs coroutines for callers in any other thread. It starts at the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns. Raises LeadtimeError if the loop is closed meanwhile.

        If the caller is interrupted (Ctrl-C), the coroutine is cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise LeadtimeError("the client was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items, one after the other. Whoever stops early closes them."""
        try:
            while True:
                try:
                    yield self.call(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            self.call(_closed(items))

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancels what still runs, waits some seconds for its end, runs `last`, and ends the thread."""
        self.call(_end_all())
        self.call(last)
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # As a daemon: a program that forgets to close its client ends all the same.
                self._thread = threading.Thread(target=self._loop.run_forever, name="leadtime", daemon=True)
                self._thread.start()
            return self._loop


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _closed(items: AsyncIterator[Any]) -> None:
    if (close := getattr(items, "aclose", None)) is not None:
        await close()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        # One that was cancelled before may be cancelling its job: another cancellation would stop that.
        if not task.cancelling():
            task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_S)
    await asyncio.get_running_loop().shutdown_asyncgens()
