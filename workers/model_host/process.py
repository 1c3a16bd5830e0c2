"""One process with the model in it, as the worker sees it: from its start to its end, by named states.

| state | meaning |
| --- | --- |
| LOADING | it was started; its model is not loaded yet |
| IDLE | the model is loaded, and no job is in the process |
| BUSY | a job is in the process |
| ENDING | it was killed, has exited or has closed its connection; its last words and its exit are awaited |
| DEAD | it is gone, and so are the processes that it started |
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from enum import IntEnum, auto
from typing import TYPE_CHECKING, cast

import orjson

from workers.model_host.child import ERROR, LOADED, NOT_FOUND, OUT_OF_MEMORY, RESULT, frame
from workers.model_host.errors import ModelCrashed, ModelLoadFailed, ModelNotFound, ModelRaised

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_WORDS_S = 1.0  # how long a connection may outlive its process, or a process its connection
FRAME_SLACK_BYTES = 65_536  # for the frame of an error, which may be longer than a small `max_result_bytes`

# The parent's sys.path comes first, so that `workers` and the model are found wherever the parent found them.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']; from workers.model_host.child import main; main()"
)


class ProcessState(IntEnum):
    """The life of a model's process; the module's table says what each state means."""

    LOADING = auto()
    IDLE = auto()
    BUSY = auto()
    ENDING = auto()
    DEAD = auto()


_CHANGES = {
    ProcessState.LOADING: {ProcessState.IDLE, ProcessState.ENDING},
    ProcessState.IDLE: {ProcessState.BUSY, ProcessState.ENDING},
    ProcessState.BUSY: {ProcessState.IDLE, ProcessState.ENDING},
    ProcessState.ENDING: {ProcessState.DEAD},
    ProcessState.DEAD: set(),
}


class ModelProcess(asyncio.Protocol):
    """A process that loads the model `module:Class` at once.

    It gets MemoryError above `memory_limit_bytes` of address space (0 is no limit), and may return at most
    `max_result_bytes` of JSON. `on_change` is called after each change of `state`, with the states before and after
    it. `how` says in words how the process ended, `used` whether it ever had a job.
    """

    def __init__(
        self,
        model: str,
        *,
        memory_limit_bytes: int,
        max_result_bytes: int,
        on_change: Callable[[ProcessState, ProcessState], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._model = model
        self._memory_limit_bytes = memory_limit_bytes
        self._max_result_bytes = max_result_bytes
        self._on_change = on_change
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._disconnected: asyncio.Future[None] = self._loop.create_future()
        self._reply: asyncio.Future[bytes] = self._loop.create_future()
        self._pid: int | None = None  # from its start until it is reaped: then the number may be another's
        self.state = ProcessState.LOADING
        self.how = ""
        self.used = False
        self._life = self._loop.create_task(self._live())

    async def load(self, timeout_s: float) -> None:
        """Returns when the model is loaded. Otherwise the process is gone when this raises.

        Raises ModelLoadFailed after `timeout_s` seconds or when the model does not load, and ModelNotFound.
        """
        self._must_be(ProcessState.LOADING)
        failure = ModelLoadFailed
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._reply
            if reply == LOADED:
                if self.state is ProcessState.LOADING:
                    self._change(ProcessState.IDLE)
                return
            if reply[:1] == NOT_FOUND:
                failure = ModelNotFound
                reason = reply[1:].decode(errors="replace")
            else:
                reason = self._out_of_memory if reply == OUT_OF_MEMORY else str(_read(reply)[1])
        except TimeoutError:
            reason = f"it took longer than {timeout_s:g} s"
        except ModelCrashed as error:
            reason = str(error)
        except BaseException:
            await self.stop()
            raise
        await self.stop()
        raise failure(f"the model {self._model} could not be loaded: {reason}")

    async def predict(self, input_json: bytes) -> bytes:
        """Runs one job's input (JSON); the result is JSON too. The process must be idle.

        Raises ModelRaised, after which it is idle again, and ModelCrashed. A crash or a cancel is raised once the
        process is gone.
        """
        self._must_be(ProcessState.IDLE)
        assert self._transport is not None  # noqa: S101
        message = frame(input_json)
        self._change(ProcessState.BUSY)
        self.used = True
        self._reply = self._loop.create_future()
        try:
            self._transport.write(message)
            reply = await self._reply
            if reply[:1] == OUT_OF_MEMORY:
                self.kill(self._out_of_memory)
                raise ModelCrashed(f"the model's process {self.how}")
            result, error = _read(reply)
        except BaseException:
            await self.stop()
            raise
        # It may have died right after its answer, which is none the worse for that.
        if self.state is ProcessState.BUSY:
            self._change(ProcessState.IDLE)
        if error is not None:
            raise error
        return result

    def kill(self, why: str) -> None:
        """Kills the process and those it started. `why` is how it ended, unless that is known already."""
        self.how = self.how or why
        self._end()
        self._kill_group()

    async def stop(self) -> None:
        """Kills the process and returns when it is gone; a cancel in between is raised after that."""
        self.kill("was stopped")
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

    def _must_be(self, state: ProcessState) -> None:
        assert self.state is state, f"a model's process must be {state.name}, and is {self.state.name}"  # noqa: S101

    def _change(self, state: ProcessState) -> None:
        """Changes the state; nothing else does. Raises RuntimeError if `_CHANGES` does not allow that."""
        if state not in _CHANGES[self.state]:
            raise RuntimeError(f"a model's process can't be {state.name} after it was {self.state.name}")
        before, self.state = self.state, state
        self._on_change(before, state)

    def _end(self) -> None:
        if self.state not in (ProcessState.ENDING, ProcessState.DEAD):
            self._change(ProcessState.ENDING)

    def _kill_group(self) -> None:
        if self._pid is not None:
            # macOS says EPERM if only a zombie is left of the group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    async def _live(self) -> None:
        how = "was stopped"
        try:
            process = await self._start()
            self._pid = process.pid
            how = _describe(await self._exit(process))
        except OSError as error:
            how = f"could not be started: {error}"
        finally:
            self.how = self.how or how
            if self._transport is not None:
                self._transport.abort()
            self._end()
            self._change(ProcessState.DEAD)
            if not self._reply.done():
                self._reply.set_exception(ModelCrashed(f"the model's process {self.how}"))

    async def _start(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        with theirs:
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            options = {
                "model": self._model,
                "memory_limit_bytes": self._memory_limit_bytes,
                "max_result_bytes": self._max_result_bytes,
                "fd": theirs.fileno(),
                "parent": os.getpid(),
                "path": sys.path,
            }
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", START, orjson.dumps(options)),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    async def _exit(self, process: asyncio.subprocess.Process) -> int:
        if self.state is ProcessState.ENDING:  # it was killed while it was being started
            self._kill_group()
        while (code := process.returncode) is None:
            try:
                await process.wait()
            except asyncio.CancelledError:  # the loop is shutting down; don't leave a zombie
                self._end()
                self._kill_group()
        self._end()
        # Kills what the process has left behind in its group, whose number is not used again before that is gone.
        self._kill_group()
        self._pid = None
        # A last frame may still be on its way. A process that fled the group may hold the connection open.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._disconnected], timeout=LAST_WORDS_S)
        return code

    @property
    def _out_of_memory(self) -> str:
        limit = f" (limit {self._memory_limit_bytes} bytes)" if self._memory_limit_bytes else ""
        return f"ran out of memory{limit}"

    # the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self._end()
        if self._pid is not None:  # it should be about to die by itself, and its own exit code tells more than SIGKILL
            self._loop.call_later(LAST_WORDS_S, self.kill, "closed its connection")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) < 4:
            return
        size = int.from_bytes(self._buffer[:4], "big")
        most_bytes = self._max_result_bytes + FRAME_SLACK_BYTES
        if self._reply.done() or not 0 < size <= most_bytes or len(self._buffer) > 4 + size:
            self._buffer.clear()
            self.kill("broke the protocol")
        elif len(self._buffer) == 4 + size:
            self._reply.set_result(bytes(memoryview(self._buffer)[4:]))
            self._buffer = bytearray()


def _read(reply: bytes) -> tuple[bytes, ModelRaised | None]:
    kind, body = reply[:1], reply[1:]
    if kind == RESULT:
        return body, None
    if kind == ERROR:
        with contextlib.suppress(ValueError, TypeError):
            name, message = orjson.loads(body)
            return b"", ModelRaised(name, message)
    raise ModelCrashed("the model's process broke the protocol")


def _describe(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
