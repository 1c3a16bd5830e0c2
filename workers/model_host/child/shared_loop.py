"""Runs several jobs at the same time in the model's process: a task for each, on the process's event loop.

The loop runs for as long as the process serves jobs. A cancel from the worker cancels that job's task alone. A model
that blocks the loop holds up all of its jobs, and what the worker says is not heard meanwhile.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import orjson

from workers.job import Cancelled
from workers.model_host.calls.failures import Refusal, answer_of, described
from workers.model_host.calls.job_link import SharedLink
from workers.model_host.child.leaving import exit_of, leave_at_once
from workers.model_host.guard.sigterm import Terminated
from workers.model_host.protocol.frames import CANCEL, ERROR, EXIT, RESULT
from workers.telemetry.tracebacks import message_of

if TYPE_CHECKING:
    from typing import TypeAlias

    from workers.model_host.calls.event_loop import EventLoop
    from workers.model_host.calls.model_calls import ModelCalls
    from workers.model_host.guard.sigterm import Sigterm
    from workers.model_host.protocol.connection import Connection
    from workers.model_host.protocol.frames import Frame

    Running: TypeAlias = tuple[asyncio.Task[None], SharedLink]


class SharedLoop:
    """The jobs of one process, each from its frame to its answer."""

    def __init__(self, connection: Connection, calls: ModelCalls, loop: EventLoop, sigterm: Sigterm) -> None:
        self._connection = connection
        self._calls = calls
        self._loop = loop
        self._sigterm = sigterm
        self._running: dict[int, Running] = {}
        self._is_ending = False  # no job is answered any more

    def serve(self) -> int:
        """Runs the jobs until the connection's end. Returns the exit code of the process. Raises Terminated."""
        try:
            return self._loop.run(self._serve())
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - of a task or a callback of the model, and so of no job
            self._connection.report(error)
            return exit_of(error)[0] if isinstance(error, SystemExit) else 1

    async def _serve(self) -> int:
        loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = loop.create_future()
        fd = self._connection.share()
        loop.add_reader(fd, self._take_in)
        try:
            return await self._code
        finally:
            self._is_ending = True
            loop.remove_reader(fd)
            tasks = [task for task, _ in self._running.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _take_in(self) -> None:
        try:
            for frame in self._connection.receive_all():
                if frame.kind == CANCEL:
                    self._cancel(frame.job)
                else:
                    self._begin(frame)
        except EOFError:
            self._end(0)
        except Exception as error:  # noqa: BLE001 - what was received is lost
            self._connection.report(error)
            leave_at_once(1)

    def _begin(self, frame: Frame) -> None:
        line, _, _ = frame.body.partition(b"\n")
        link = SharedLink(self._connection, frame.job, line)
        task = asyncio.get_running_loop().create_task(self._run(frame, link))
        self._running[frame.job] = task, link
        task.add_done_callback(partial(self._on_done, frame.job))

    def _cancel(self, job: int) -> None:
        if job in self._running:  # it may just have been answered
            task, link = self._running[job]
            link.is_stopped = True
            task.cancel()

    async def _run(self, frame: Frame, link: SharedLink) -> None:
        try:
            await self._run_and_answer(frame, link)
        except Terminated:  # it may have cut an answer
            self._is_ending = True
            raise

    async def _run_and_answer(self, frame: Frame, link: SharedLink) -> None:
        """Whatever the job raises: nothing but Terminated gets out of here."""
        connection = self._connection
        try:
            kind, body = await self._calls.run_beside_others(frame, link)
        except Terminated:
            raise
        except MemoryError as error:
            connection.report(error)
            connection.send_out_of_memory(message_of(error), frame.job)
            leave_at_once(1)
        except SystemExit as error:
            connection.report(error)
            code, message = exit_of(error)
            if not connection.is_ours:
                leave_at_once(code)
            self._sigterm.ignore()
            self._end(code)
            connection.send(EXIT, orjson.dumps([code, message]), frame.job)
            return
        except BaseException as error:  # noqa: BLE001
            if not (link.is_stopped or self._is_ending or isinstance(error, Refusal | Cancelled)):
                connection.report(error)
            kind, body = answer_of(error)
        if not connection.is_ours:
            leave_at_once(int(kind != RESULT))
        if not self._is_ending:
            connection.send(kind, body, frame.job)

    def _on_done(self, job: int, task: asyncio.Task[None]) -> None:
        del self._running[job]
        if task.cancelled() and not self._is_ending:  # before its first step
            self._connection.send(ERROR, described(asyncio.CancelledError()), job)
        elif not task.cancelled():
            task.exception()  # Terminated is raised by the loop as well

    def _end(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)
