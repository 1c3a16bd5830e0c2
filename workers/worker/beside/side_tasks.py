"""Tasks that run beside a worker's jobs; one that ends though it never should is a reason to stop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from workers.stream import end

if TYPE_CHECKING:
    from collections.abc import Coroutine


class SideTasks:
    """Started one by one, ended together."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._added = asyncio.Event()

    def watch(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Starts a task that is to run until `end`."""
        self._tasks.append(asyncio.create_task(coroutine, name=name))
        self._added.set()

    async def first_of(self, *tasks: asyncio.Task[Any], timeout_s: float | None = None) -> None:
        """Returns when one of `tasks` is done, or after `timeout_s` seconds.

        Raises a side task's error if that ends first, and RuntimeError if it ended without one.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not any(task.done() for task in tasks):
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            # A side task that is added while this waits has to be waited for, too.
            self._added.clear()
            added = asyncio.create_task(self._added.wait())
            await asyncio.wait([*tasks, added, *self._tasks], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            added.cancel()
            self._raise_what_ended()

    def _raise_what_ended(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError(f"the worker's {task.get_name()} task ended")

    async def end(self) -> None:
        """Cancels all of them and returns when they have ended."""
        await end(*self._tasks)
