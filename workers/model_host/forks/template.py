"""One template, as its worker sees it: a process that has loaded the model, and is asked for forks of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING

import orjson

from workers.model_host.errors import ModelNotForked
from workers.model_host.process.process import ModelProcess
from workers.model_host.process.start import start
from workers.model_host.process.state import ProcessState, how_it_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.guard.leash import Leash
    from workers.model_host.options import ModelOptions
    from workers.model_host.process.start import StartedProcess

# A template forks within milliseconds, also a large one. One that does not is replaced.
FORK_S = 20.0
_LOOKS = 50  # at how it ended, if nothing is known yet
_LOOK_S = 0.02
_DIED = "could not be forked: the one that has the model loaded has died"


class Template(ModelProcess):
    """Forks. It is idle until it dies; what is forked from it may live on."""

    def __init__(self, options: ModelOptions) -> None:
        self._requests: socket.socket | None = None
        self._lost = asyncio.Event()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._count = 0  # of the processes that were forked and have not ended
        self._is_loaded = False
        super().__init__(options, self._start_template, self._on_template_change)

    async def load(self, check: bytes | None = None) -> None:
        """As any process. Raises ModelUnforkable as well, whose message is the end of a sentence."""
        await super().load(check)
        self._is_loaded = True

    async def fork(
        self, variables: dict[str, str], connection: socket.socket, control: socket.socket, leash: Leash
    ) -> StartedProcess:
        """A guardian whose process has the model loaded. Closes the ends that it is handed. Raises ModelNotForked."""
        self._count += 1
        self._none_left.clear()
        try:
            return _Fork(await self._ask_for(variables, connection, control, leash), leash, self._release)
        except BaseException:
            self._release()
            raise

    def retire(self, why: str) -> None:
        """Nothing more is to be forked from it. `why` is what `lost` says."""
        self.how = self.how or why
        self._lost.set()

    async def lost(self) -> str:
        """Waits until it has died or was retired, and says how or why."""
        await self._lost.wait()
        for _ in range(_LOOKS):
            if self.how:
                break
            if (code := self._leash.number_now()) is not None:
                self.how = how_it_ended(code)
            await asyncio.sleep(_LOOK_S)
        return self.how or "closed its connection"

    async def bury(self) -> None:
        """Ends it once nothing is left that was forked from it."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._none_left.wait()
        await self.stop(0)

    async def _start_template(self, connection: socket.socket, control: socket.socket, leash: Leash) -> StartedProcess:
        self._requests, theirs = socket.socketpair()
        self._requests.setblocking(False)
        with theirs:
            return await start(self._options, {}, connection, control, leash, theirs)

    async def _ask_for(
        self, variables: dict[str, str], connection: socket.socket, control: socket.socket, leash: Leash
    ) -> int:
        """The process id of a new guardian."""
        if self._requests is None or self._lost.is_set():
            raise ModelNotForked(_DIED)
        try:
            socket.send_fds(self._requests, [orjson.dumps(variables)], [connection.fileno(), control.fileno()])
            # As long as a copy is open here, the guardian's death would not be noticed.
            connection.close()
            control.close()
            async with asyncio.timeout(FORK_S):
                number = await leash.number()
        except TimeoutError:
            self.how = self.how or f"did not fork within {FORK_S:g} s"
            self._kill_model()  # itself alone, and not by its guardian: other forks go on
            raise ModelNotForked(_DIED) from None
        except OSError as error:
            raise ModelNotForked(f"could not be forked: {error}") from None
        if number is None:
            raise ModelNotForked(_DIED)
        if number <= 0:
            raise ModelNotForked(f"could not be forked: {os.strerror(-number)}")
        return number

    def _on_template_change(self, _before: ProcessState, after: ProcessState) -> None:
        if after in (ProcessState.ENDING, ProcessState.DEAD):
            self._lost.set()
        if after is ProcessState.DEAD and self._requests is not None:
            self._requests.close()

    def _has_closed_its_connection(self) -> None:
        if not self._is_loaded:  # otherwise its guardian stays for those that were forked
            super()._has_closed_its_connection()

    def _release(self) -> None:
        self._count -= 1
        if not self._count:
            self._none_left.set()


class _Fork:
    """The guardian of a process that was forked."""

    def __init__(self, pid: int, leash: Leash, on_end: Callable[[], None]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._leash = leash
        self._on_end = on_end

    async def wait(self) -> int:
        """Returns the exit code when it has ended."""
        self.returncode = await self._leash.exit_code()
        self._on_end()
        return self.returncode
