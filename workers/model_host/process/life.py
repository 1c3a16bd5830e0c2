"""The life of a model's process, as the worker sees it: its start, its states, its connection and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

from workers.model_host.errors import ModelCrashed, ModelNotForked
from workers.model_host.guard.leash import Leash
from workers.model_host.process.state import CHANGES, ProcessState, how_it_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.options import ModelOptions
    from workers.model_host.process.start import Start, StartedProcess

LAST_WORDS_S = 1.0  # how long a connection may outlive its process, or a process its connection


class ProcessLife(asyncio.Protocol, ABC):
    """A process that `start` starts at once. What it says is for the class that is made of this one.

    `on_change` is called after each change of `state`, with the states before and after it. `how` says in words how the
    process ended.
    """

    def __init__(
        self, options: ModelOptions, start: Start, on_change: Callable[[ProcessState, ProcessState], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._start = start
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._disconnected: asyncio.Future[None] = self._loop.create_future()
        self._leash = Leash(self._kill_model)
        self.state = ProcessState.LOADING
        self.how = ""
        self._life = self._loop.create_task(self._live())

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The process with the model in it; None as long as that is not known."""

    @abstractmethod
    def _hear_last_words(self, words: bytes) -> None:
        """Takes the answer that the model could not send, as it had closed its connection."""

    @abstractmethod
    def _hear_of_end(self, crash: ModelCrashed, not_forked: ModelNotForked | None) -> None:
        """The process is gone. Both say how; the latter if it was never there."""

    def end(self, why: str, grace_s: float) -> None:
        """Sends SIGTERM and, after `grace_s` seconds (0: at once), SIGKILL to the process and to those it started.

        `why` is how it ended, unless that is known already. Of several calls the shortest grace holds.
        """
        self.how = self.how or why
        self._end()
        self._leash.end(min(grace_s, self._options.stop_grace_s))
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()  # an idle model may have a handler for SIGTERM that does not end it

    async def stop(self, grace_s: float = float("inf")) -> None:
        """Ends the process, and returns when it is gone; a cancel in between is raised after that."""
        self.end("was stopped", grace_s)
        cancelled = False
        while not self._life.done():
            try:
                await self.until_dead()
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def until_dead(self) -> None:
        """Returns when the process is gone."""
        await asyncio.wait([self._life])

    # its states

    def _is_idle_again(self) -> bool:
        """Whether it can take a job. It may have died right after its answer, which is none the worse for that."""
        if self.state is ProcessState.BUSY:
            self._change(ProcessState.IDLE)
        return self.state is ProcessState.IDLE

    def _must_be(self, state: ProcessState) -> None:
        assert self.state is state, f"a model's process must be {state.name}, and is {self.state.name}"  # noqa: S101

    def _change(self, state: ProcessState) -> None:
        """Changes the state; nothing else does. Raises RuntimeError if `CHANGES` does not allow that."""
        if state not in CHANGES[self.state]:
            raise RuntimeError(f"a model's process can't be {state.name} after it was {self.state.name}")
        before, self.state = self.state, state
        self._on_change(before, state)

    def _end(self) -> None:
        if self.state not in (ProcessState.ENDING, ProcessState.DEAD):
            self._change(ProcessState.ENDING)

    # its life

    async def _live(self) -> None:
        how = "was stopped"
        failure: ModelNotForked | None = None
        try:
            how = how_it_ended(await self._exit(await self._connect()))
        except OSError as error:
            how = f"could not be started: {error}"
        except ModelNotForked as error:
            how, failure = str(error), error
        finally:
            self.how = self.how or how
            if self._transport is not None:
                self._transport.abort()
            self._leash.close()
            self._end()
            self._change(ProcessState.DEAD)
            self._hear_of_end(ModelCrashed(f"the model's process {self.how}"), failure)

    async def _connect(self) -> StartedProcess:
        ours, theirs = socket.socketpair()
        with theirs, self._leash.open() as control:
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            return await self._start(theirs, control, self._leash)

    async def _exit(self, process: StartedProcess) -> int:
        self._leash.hold(process.pid)
        while (code := process.returncode) is None:
            try:
                await process.wait()
            except asyncio.CancelledError:  # the loop is shutting down; don't leave a zombie
                self.end("was stopped", 0)
        self._leash.let_go()
        self._end()
        if code == -signal.SIGKILL:  # perhaps the guardian alone, and then not by us
            self._kill_model()
        # A last frame may still be on its way. A process that fled may hold the connection open.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._disconnected], timeout=LAST_WORDS_S)
        self._hear_last_words(self._leash.last_words())
        return code

    def _kill_model(self) -> None:
        if self.pid is not None:
            # macOS says EPERM if only a zombie is left of the group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    # the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self._end()
        if not self._leash.ending:  # it should be about to die by itself, and its own exit code tells more than SIGKILL
            self._loop.call_later(LAST_WORDS_S, self._has_closed_its_connection)

    def _has_closed_its_connection(self) -> None:
        if self.state is not ProcessState.DEAD:
            self.end("closed its connection", self._options.stop_grace_s)
