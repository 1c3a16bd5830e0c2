"""The event loop of the model's process: one for the life of the process, made when it is first needed.

It runs while `predict` or `close` does, and rests between two jobs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from workers.model_host.guard.sigterm import Sigterm, Terminated

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from types import FrameType

T = TypeVar("T")


class EventLoop:
    """Runs one coroutine at a time, and ends it on SIGTERM."""

    def __init__(self, sigterm: Sigterm) -> None:
        self._sigterm = sigterm
        self._loop: asyncio.AbstractEventLoop | None = None
        self._terminated = False

    def open(self) -> asyncio.AbstractEventLoop:
        """The loop; from now on it is also what `asyncio.get_event_loop()` returns."""
        # A model without async code must not pay for the import.
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs it to its end; the result is what it returned. Raises what it raised.

        On SIGTERM, Terminated is raised in the code that runs. If no code runs, as the coroutine waits for something,
        asyncio.CancelledError is raised where it waits, and Terminated here.
        """
        loop = self.open()
        task = loop.create_task(coroutine)
        self._sigterm.divert = lambda frame: self._divert(task, frame)
        try:
            return self._run(task)
        except BaseException:
            if not task.done():  # raised by another task of the model
                task.cancel()
                with contextlib.suppress(BaseException):
                    loop.run_until_complete(task)
            if task.done() and not task.cancelled():
                task.exception()  # it is raised here, so asyncio need not log it
            raise

    def close(self) -> None:
        """Cancels the tasks that are left, lets them end, and closes the loop."""
        if self._loop is None:
            return
        import asyncio

        loop, self._loop = self._loop, None
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def _run(self, task: asyncio.Task[T]) -> T:
        try:
            return task.get_loop().run_until_complete(task)
        finally:
            self._sigterm.divert = None
            if self._terminated:
                self._terminated = False  # `close` may still run
                raise Terminated

    def _divert(self, task: asyncio.Task[Any], frame: FrameType | None) -> bool:
        import asyncio

        # An exception in the loop's own code could lose the wake-up of a task, which then would never end.
        loop = task.get_loop()
        if asyncio.current_task(loop) is not None and not _is_of_asyncio(frame):
            return False
        self._terminated = True
        loop.call_soon_threadsafe(task.cancel)
        return True


def _is_of_asyncio(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "asyncio"
