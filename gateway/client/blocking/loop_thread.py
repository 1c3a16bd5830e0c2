"""An event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import LeadtimeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

T = TypeVar("T")

_CLOSE_S = 8.0
_CLOSED = "the client is closed"
_WITHIN = "the inputs of `map` can't call the client that takes them: make a list of them before, or use another client"
_FORKED = "the client was used before this process was forked from its own: make another one here"


class LoopThread:
    """Runs coroutines for callers in any other thread. It starts at the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._iterated: set[AsyncIterator[Any]] = set()
        self._is_closed = False
        self._process = 0

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns. Raises LeadtimeError if the client is closed.

        If the caller is interrupted (Ctrl-C), the coroutine is cancelled, and has some seconds to end.
        """
        if refusal := self._refusal():
            coroutine.close()
            raise LeadtimeError(refusal)
        return self._call(coroutine)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items, one after the other. Whoever stops early closes them."""
        self._iterated.add(items)
        try:
            while True:
                try:
                    yield self.call(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            self._iterated.discard(items)
            if not self._refusal():
                self.call(_closed(items))

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancels what still runs, waits some seconds for its end, runs `last`, and ends the thread."""
        if self._is_closed or self._is_forked():
            last.close()
            return
        self._is_closed = True
        self._call(_end_all(list(self._iterated)))
        self._call(last)
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _refusal(self) -> str:
        """Why nobody would answer a call; empty if somebody does."""
        if self._is_closed:
            return _CLOSED
        if self._is_forked():
            return _FORKED
        return _WITHIN if threading.current_thread() is self._thread else ""

    def _is_forked(self) -> bool:
        """Whether the thread is another process' one, as after `multiprocessing` has forked."""
        return self._process not in (0, os.getpid())

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        ended = threading.Event()
        future = asyncio.run_coroutine_threadsafe(_told(coroutine, ended), self._running())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise LeadtimeError(_CLOSED) from None
        except BaseException:
            if future.cancel():
                # It may be cancelling its jobs, which the end of the program would cut.
                ended.wait(_CLOSE_S)
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                # As a daemon: a program that forgets to close its client ends all the same.
                self._thread = threading.Thread(target=self._loop.run_forever, name="leadtime", daemon=True)
                self._thread.start()
            return self._loop


async def _told(coroutine: Coroutine[Any, Any, T], ended: threading.Event) -> T:
    try:
        return await coroutine
    finally:
        ended.set()


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _closed(items: AsyncIterator[Any]) -> None:
    if (close := getattr(items, "aclose", None)) is not None:
        await close()


async def _end_all(iterated: list[AsyncIterator[Any]]) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        # One that was cancelled before may be cancelling its job: another cancellation would stop that.
        if not task.cancelling():
            task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_S)
    for items in iterated:
        await _closed(items)
    await asyncio.get_running_loop().shutdown_asyncgens()
