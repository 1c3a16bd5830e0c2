"""Keeps models loaded in processes of their own and runs jobs on them.

A process of its own means that the event loop goes on while a model holds the GIL, that a crash fails one
job, and that a running job can be stopped for real.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import orjson

from workers.model_host.child import ERROR, LOADED, MAX_MESSAGE_CHARS, NOT_FOUND, OUT_OF_MEMORY, RESULT, frame

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

LOAD_ATTEMPTS = 3
BACKOFF_S = 0.5  # doubles with each failure
LAST_WORDS_S = 1.0  # between a process's end and that of its connection, whichever is first
FRAME_SLACK_BYTES = 65_536  # an error is longer than a small `max_result_bytes`

# The parent's sys.path comes first, so that `workers` and the model are found wherever the parent found them.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']; from workers.model_host.child import main; main()"
)


class ModelCrashed(RuntimeError):  # noqa: N818
    """The process died under the job, which may be tried again. The message says how it died."""


class ModelTimedOut(ModelCrashed):
    """The job took too long, and its process was killed for it."""


class ModelRaised(RuntimeError):  # noqa: N818
    """`predict` raised `type` (a class name) with `message` (cut to 2,000 characters).

    Also for results that can't be handed on: `TypeError` for one that isn't JSON, `ResultTooLarge`.
    """

    def __init__(self, type: str, message: str) -> None:  # noqa: A002
        self.type = type
        self.message = message[:MAX_MESSAGE_CHARS]
        super().__init__(f"{self.type}: {self.message}")


class ModelLoadFailed(RuntimeError):  # noqa: N818
    """The model can't be loaded. The message is one sentence on why."""


class ModelNotFound(ModelLoadFailed):
    """There is no such model, or its module can't be imported: another try would end as this one did."""


class _Process(asyncio.Protocol):
    """One process, started at once; `reply` first awaits its loading, then each job in turn."""

    def __init__(self, options: dict[str, Any], max_frame_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._group = 0
        self._doomed = False
        self.how = ""
        self.used = False
        self.reply: asyncio.Future[bytes] = self._loop.create_future()
        self.life = self._loop.create_task(self._live(options))

    @property
    def alive(self) -> bool:
        return not self._doomed and self._transport is not None and not self._transport.is_closing()

    def ask(self, data: bytes) -> asyncio.Future[bytes]:
        """Sends one job's input. The future has the frame that answers it, or raises ModelCrashed."""
        assert self._transport is not None  # noqa: S101
        message = frame(data)
        self.used = True
        self.reply = self._loop.create_future()
        self._transport.write(message)
        return self.reply

    def kill(self, why: str = "") -> None:
        """Kills the process and those it started. `why` says what it did, if that is why."""
        self._doomed = True
        self.how = self.how or why
        if self._group:
            # macOS says EPERM where only a zombie is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)

    async def stop(self) -> None:
        """Kills the process and returns when it is gone; a cancel in between is raised after that."""
        self.kill("was stopped")
        cancelled = False
        while not self.life.done():
            try:
                await asyncio.wait([self.life])
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _live(self, options: dict[str, Any]) -> None:
        how = "was stopped"
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                await self._loop.create_unix_connection(lambda: self, sock=ours)
                text = orjson.dumps({**options, "fd": theirs.fileno(), "parent": os.getpid(), "path": sys.path})
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", START, text),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            self._group = process.pid
            how = _describe(await self._exit(process))
        except OSError as error:
            how = f"could not be started: {error}"
        finally:
            self._doomed = True
            self.how = self.how or how
            if self._transport is not None:
                self._transport.abort()
            if not self.reply.done():
                self.reply.set_exception(ModelCrashed(f"the model's process {self.how}"))

    async def _exit(self, process: asyncio.subprocess.Process) -> int:
        if self._doomed:
            self.kill()
        while (code := process.returncode) is None:
            try:
                await process.wait()
            except asyncio.CancelledError:  # the loop is shutting down; don't leave a zombie
                self.kill()
        # What the process left behind in its group; nothing else has this number yet.
        self.kill()
        self._group = 0
        # A last frame may still be on its way. A process that fled the group may hold the connection open.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._closed], timeout=LAST_WORDS_S)
        return code

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        if self._group:  # it should be about to die by itself, and its own exit code tells more than SIGKILL
            self._loop.call_later(LAST_WORDS_S, self.kill, "closed its connection")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) < 4:
            return
        size = int.from_bytes(self._buffer[:4], "big")
        if self.reply.done() or not 0 < size <= self._max_frame_bytes or len(self._buffer) > 4 + size:
            self._buffer.clear()
            self.kill("broke the protocol")
        elif len(self._buffer) == 4 + size:
            self.reply.set_result(bytes(memoryview(self._buffer)[4:]))
            self._buffer = bytearray()


class ModelHost:
    """Keeps `size` processes with the model `module:Class` loaded.

    A process is killed if loading takes longer than `load_timeout_s` seconds, gets MemoryError above
    `memory_limit_bytes` of address space (0 is no limit), and may return at most `max_result_bytes` of JSON.
    `on_loaded` is called with the number of loaded, live processes whenever it changes, `on_load_s` with
    the seconds that each took to load.
    """

    def __init__(
        self,
        model: str,
        size: int,
        *,
        load_timeout_s: float,
        memory_limit_bytes: int,
        max_result_bytes: int,
        on_loaded: Callable[[int], None],
        on_load_s: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._model = model
        self._size = size
        self._load_timeout_s = load_timeout_s
        self._memory_limit_bytes = memory_limit_bytes
        self._max_result_bytes = max_result_bytes
        self._on_loaded = on_loaded
        self._on_load_s = on_load_s
        self._live: set[_Process] = set()
        self._free: list[_Process] = []
        self._available = asyncio.Event()
        self._loaded = asyncio.Event()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many loaded, live processes there are."""
        return len(self._live)

    async def loaded(self) -> None:
        """Returns when a process has been loaded for the first time."""
        await self._loaded.wait()

    async def run(self) -> None:
        """Starts the processes and replaces those that die, until cancelled; then none of them is left.

        Raises ModelLoadFailed when one has failed to load three times in succession, or ModelNotFound.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._size):
                    group.create_task(self._keep())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._stopped = True
            self._available.set()

    async def predict(self, input_json: bytes) -> bytes:
        """Runs one job's input (JSON) on a free process, waiting for one if need be; the result is JSON too.

        Raises ModelCrashed and ModelRaised. A cancel while the job runs is raised once the process is dead.
        """
        process = await self._take()
        try:
            reply = await process.ask(input_json)
            if reply[:1] == OUT_OF_MEMORY:
                process.kill(self._out_of_memory)
                raise ModelCrashed(f"the model's process {process.how}")
            result, error = _read(reply)
        except BaseException:
            self._bury(process)
            await process.stop()
            raise
        self._free.append(process)
        self._available.set()
        if error is not None:
            raise error
        return result

    async def _take(self) -> _Process:
        while True:
            while self._free:
                process = self._free.pop()
                if process.alive:
                    return process
            if self._stopped:
                raise ModelCrashed("the model's processes have been stopped")
            self._available.clear()
            await self._available.wait()

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                process = await self._load()
            except ModelNotFound:
                raise
            except ModelLoadFailed as error:
                failures += 1
                if failures == LOAD_ATTEMPTS:
                    raise
                logger.warning("%s; trying again", error)
                await asyncio.sleep(BACKOFF_S * 2 ** (failures - 1))
                continue
            failures = 0
            try:
                self._add(process)
                await asyncio.wait([process.life])
            finally:
                self._bury(process)
                await process.stop()
            logger.warning("the model's process %s; starting another", process.how)
            if not process.used:  # else a model that dies by itself would be started over and over
                await asyncio.sleep(BACKOFF_S)

    async def _load(self) -> _Process:
        options = {
            "model": self._model,
            "memory_limit_bytes": self._memory_limit_bytes,
            "max_result_bytes": self._max_result_bytes,
        }
        started_s = time.monotonic()
        process = _Process(options, self._max_result_bytes + FRAME_SLACK_BYTES)
        failure = ModelLoadFailed
        try:
            async with asyncio.timeout(self._load_timeout_s):
                reply = await process.reply
            if reply == LOADED:
                self._on_load_s(time.monotonic() - started_s)
                return process
            if reply[:1] == NOT_FOUND:
                failure = ModelNotFound
                reason = reply[1:].decode(errors="replace")
            else:
                reason = self._out_of_memory if reply == OUT_OF_MEMORY else str(_read(reply)[1])
        except TimeoutError:
            reason = f"it took longer than {self._load_timeout_s:g} s"
        except ModelCrashed as error:
            reason = str(error)
        except BaseException:
            await process.stop()
            raise
        await process.stop()
        raise failure(f"the model {self._model} could not be loaded: {reason}")

    def _add(self, process: _Process) -> None:
        self._live.add(process)
        self._free.append(process)
        self._available.set()
        self._loaded.set()
        self._on_loaded(len(self._live))

    def _bury(self, process: _Process) -> None:
        if process in self._free:
            self._free.remove(process)
        if process in self._live:
            self._live.remove(process)
            self._on_loaded(len(self._live))

    @property
    def _out_of_memory(self) -> str:
        limit = f" (limit {self._memory_limit_bytes} bytes)" if self._memory_limit_bytes else ""
        return f"ran out of memory{limit}"


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
