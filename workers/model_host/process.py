"""One process with the model in it, as the worker sees it: from its start to its end, by named states.

| state | meaning |
| --- | --- |
| LOADING | it was started; its model is not loaded yet |
| IDLE | the model is loaded, and no job is in the process |
| BUSY | a job is in the process |
| ENDING | it was told to end, has exited or has closed its connection; its last words and its exit are awaited |
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
from typing import TYPE_CHECKING, Any, cast

import orjson

from workers.model_host.description import Description
from workers.model_host.errors import (
    InputInvalid,
    ModelAskedAgain,
    ModelBroken,
    ModelCrashed,
    ModelLoadFailed,
    ModelNotFound,
    ModelRaised,
)
from workers.model_host.frames import (
    AGAIN,
    ERROR,
    EXIT,
    INVALID,
    JOB,
    LOADED,
    NOT_FOUND,
    OUT_OF_MEMORY,
    RESULT,
    Frame,
    FrameError,
    FrameReader,
    pack,
)
from workers.model_host.leash import Leash
from workers.process.secrets import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.options import ModelOptions

LAST_WORDS_S = 1.0  # how long a connection may outlive its process, or a process its connection
# The grace of a process whose job is stopped: the job's slot is taken until it is gone.
CANCEL_GRACE_S = 1.0
BROKE_THE_PROTOCOL = "broke the protocol"
SLACK_BYTES = 131_072  # for an error and for a schema, which may be longer than a small `max_result_bytes`

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
    """A process that loads the model at once.

    `on_change` is called after each change of `state`, with the states before and after it. `how` says in words how the
    process ended, `used` whether it ever had a job.
    """

    def __init__(self, options: ModelOptions, on_change: Callable[[ProcessState, ProcessState], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._on_change = on_change
        self._reader = FrameReader(options.max_result_bytes + SLACK_BYTES)
        self._reader.expect(0)
        self._job = 0
        self._answer: asyncio.Future[Frame] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._disconnected: asyncio.Future[None] = self._loop.create_future()
        self._leash = Leash(self._kill_model)
        self.state = ProcessState.LOADING
        self.how = ""
        self.used = False
        self._life = self._loop.create_task(self._live())

    @property
    def pid(self) -> int | None:
        """The process with the model in it, as its first frame says; None before that."""
        return self._reader.pid

    async def load(self, check: bytes | None = None) -> None:
        """Returns when the model is loaded and has answered the input `check` (JSON), unless that is None.

        Otherwise the process is gone when this raises: ModelLoadFailed if the model does not load, or not within
        `load_timeout_s` seconds; ModelNotFound; ModelBroken if it does not answer the input.
        """
        self._must_be(ProcessState.LOADING)
        failure: type[Exception] = ModelLoadFailed
        try:
            async with asyncio.timeout(self._options.load_timeout_s):
                answer = await self._answer
                self._hand_on_description(answer)
                if answer.kind == LOADED and check is not None:
                    failure = ModelBroken
                    answer = await self._ask(pack(self._job + 1, os.getpid(), JOB, check))
            if answer.kind in (LOADED, RESULT, AGAIN):
                if self.state is ProcessState.LOADING:
                    self._change(ProcessState.IDLE)
                return
            if answer.kind == NOT_FOUND:
                failure, reason = ModelNotFound, answer.body.decode(errors="replace")
            else:
                outcome = self._read(answer)
                reason = str(outcome) if isinstance(outcome, ModelRaised) else BROKE_THE_PROTOCOL
        except TimeoutError:
            reason = f"it took longer than {self._options.load_timeout_s:g} s"
        except ModelCrashed as error:
            reason = str(error)
        except BaseException:
            await self.stop()
            raise
        await self.stop()
        if failure is ModelBroken:
            raise ModelBroken(f"a new process failed with an input that another had answered before: {reason}")
        raise failure(f"the model {self._options.model} could not be loaded: {reason}")

    async def predict(self, input_json: bytes) -> bytes:
        """Runs one job's input (JSON); the result is JSON too. The process must be idle.

        Raises ModelRaised and ModelAskedAgain, after which it is idle again unless it has died, and ModelCrashed. A
        crash or a cancel is raised once the process is gone.
        """
        self._must_be(ProcessState.IDLE)
        message = pack(self._job + 1, os.getpid(), JOB, input_json)
        self._change(ProcessState.BUSY)
        self.used = True
        try:
            outcome = self._read(await self._ask(message))
        except BaseException:
            await self.stop(CANCEL_GRACE_S)
            raise
        # It may have died right after its answer, which is none the worse for that.
        if self.state is ProcessState.BUSY:
            self._change(ProcessState.IDLE)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

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

    # its answers

    async def _ask(self, message: bytes) -> Frame:
        assert self._transport is not None  # noqa: S101
        self._job += 1
        self._reader.expect(self._job)
        self._answer = self._loop.create_future()
        self._transport.write(message)
        return await self._answer

    def _read(self, answer: Frame) -> bytes | ModelRaised | ModelAskedAgain:
        """What the answer to a job says. Raises ModelCrashed if it says that the process ends."""
        if answer.kind == RESULT:
            return answer.body
        try:
            if answer.kind == ERROR:
                return ModelRaised(*_pair(answer.body))
            if answer.kind == INVALID:
                return InputInvalid(*_pair(answer.body))
            if answer.kind == AGAIN:
                return ModelAskedAgain(*_pair(answer.body))
            if answer.kind == EXIT:
                code, message = _pair(answer.body)
                self.how = self.how or f"exited with code {code}" + (f": {message}" if message else "")
            elif answer.kind == OUT_OF_MEMORY:
                self.how = self.how or self._out_of_memory(answer.body.decode(errors="replace"))
            else:
                raise ValueError(answer.kind)
        except (ValueError, TypeError):
            self.end(BROKE_THE_PROTOCOL, 0)
        raise ModelCrashed(f"the model's process {self.how}")

    def _out_of_memory(self, message: str) -> str:
        limit = f" (limit {self._options.memory_limit_bytes} bytes)" if self._options.memory_limit_bytes else ""
        return f"ran out of memory{limit}" + (f": {message}" if message else "")

    def _hand_on_description(self, answer: Frame) -> None:
        if answer.kind == LOADED:
            with contextlib.suppress(ValueError):  # a damaged one is none
                self._options.on_described(Description.unpacked(answer.body))

    # its states

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

    # its life

    async def _live(self) -> None:
        how = "was stopped"
        try:
            how = _describe(await self._exit(await self._start()))
        except OSError as error:
            how = f"could not be started: {error}"
        finally:
            self.how = self.how or how
            if self._transport is not None:
                self._transport.abort()
            self._leash.close()
            self._end()
            self._change(ProcessState.DEAD)
            if not self._answer.done():
                self._answer.set_exception(ModelCrashed(f"the model's process {self.how}"))

    async def _start(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        with theirs, self._leash.open() as control:
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            options = {
                "model": self._options.model,
                "memory_limit_bytes": self._options.memory_limit_bytes,
                "max_result_bytes": self._options.max_result_bytes,
                "fd": theirs.fileno(),
                "control": control.fileno(),
                "parent": os.getpid(),
                "path": sys.path,
            }
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", START, orjson.dumps(options)),
                stdin=asyncio.subprocess.DEVNULL,
                env=without_secrets(os.environ),
                pass_fds=(theirs.fileno(), control.fileno()),
                start_new_session=True,
            )

    async def _exit(self, process: asyncio.subprocess.Process) -> int:
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
        self._hear_last_words()
        return code

    def _kill_model(self) -> None:
        if self._reader.pid is not None:
            # macOS says EPERM if only a zombie is left of the group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._reader.pid, signal.SIGKILL)

    def _hear_last_words(self) -> None:
        """Takes the answer that the model could not send, as it had closed its connection."""
        if self._answer.done():
            return
        with contextlib.suppress(FrameError):
            words = self._leash.last_words()
            self._reader.expect(self._job)
            if (answer := self._reader.feed(words)) is not None:
                self._answer.set_result(answer)

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

    def data_received(self, data: bytes) -> None:
        if self._answer.done() and self.state is ProcessState.ENDING:  # nobody waits for it any more
            return
        try:
            answer = self._reader.feed(data)
        except FrameError:
            self.end(BROKE_THE_PROTOCOL, 0)
        else:
            # It is done if the job was cancelled in this very moment: `predict` is about to end the process.
            if answer is not None and not self._answer.done():
                self._answer.set_result(answer)


def _pair(body: bytes) -> tuple[Any, Any]:
    """The two values of a JSON array. Raises ValueError."""
    first, second = orjson.loads(body)
    return first, second


def _describe(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"
