"""Spare processes: loaded, without jobs, until one takes the place of a process that has ended."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from workers.model_host.backoff import Backoff
from workers.model_host.errors import ModelLoadFailed
from workers.model_host.process.process import ModelProcess
from workers.model_host.process.state import ProcessState

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.options import ModelOptions
    from workers.model_host.process.start import Starts

logger = logging.getLogger(__name__)

BACKOFF_S = 1.0


class Spares:
    """Keeps spare processes; their indexes follow on those of the slots.

    A spare keeps its index when it takes over, as the model may have read that while it was loaded. The next spare gets
    the index that has become free.
    """

    def __init__(
        self, options: ModelOptions, first_index: int, starts: Starts, on_load_s: Callable[[float], None]
    ) -> None:
        self._starts = starts
        self._devices = max(1, len(options.devices))
        self._spares = [_Spare(options, first_index + number, starts, on_load_s) for number in range(options.spares)]

    async def keep(self, needed: asyncio.Event) -> None:
        """Keeps them loaded from that event on, until cancelled; then none is left. Returns if forks are as fast."""
        await needed.wait()
        if self._starts.is_fast:
            return
        async with asyncio.TaskGroup() as group:
            for spare in self._spares:
                group.create_task(spare.keep())

    def take(self, index: int) -> tuple[ModelProcess, int] | None:
        """A spare, if one is loaded, and its index. One of the same device as that of `index` goes first."""
        ready = [spare for spare in self._spares if spare.is_ready]
        if not ready:
            return None
        return min(ready, key=lambda spare: (spare.index - index) % self._devices != 0).give(index)


class _Spare:
    """The place of one spare process."""

    def __init__(self, options: ModelOptions, index: int, starts: Starts, on_load_s: Callable[[float], None]) -> None:
        self.index = index
        self._options = options
        self._starts = starts
        self._on_load_s = on_load_s
        self._process: ModelProcess | None = None
        self._load_pauses = Backoff(BACKOFF_S)
        self._changed = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether it can take over now."""
        return self._process is not None and self._process.state is ProcessState.IDLE

    def give(self, index: int) -> tuple[ModelProcess, int]:
        """The process and its index; the next one gets the index `index`."""
        assert self._process is not None  # noqa: S101
        given = self._process, self.index
        self._process, self.index = None, index
        self._changed.set()
        return given

    async def keep(self) -> None:
        """Keeps a process loaded until cancelled; then it is gone, unless it was given."""
        while True:
            start = await self._starts.start_of(self.index)
            process = self._process = ModelProcess(self._options, start, self._on_change)
            try:
                pause_s = await self._life(process)
            finally:
                if self._process is process:
                    self._process = None
                    await process.stop()
            await asyncio.sleep(pause_s)

    async def _life(self, process: ModelProcess) -> float:
        """Returns when it was given, or is gone. The result is the pause before the next one, in seconds."""
        started_s = time.monotonic()
        try:
            await process.load()
        except ModelLoadFailed as error:
            pause_s = self._load_pauses.next_s()
            logger.warning("a spare process: %s; trying again in %g s", error, pause_s)
            return pause_s
        self._load_pauses.reset()
        self._on_load_s(time.monotonic() - started_s)
        while self._process is process:
            self._changed.clear()
            if process.state is not ProcessState.IDLE:
                await process.until_dead()
                logger.warning("a spare process %s; starting another", process.how)
                return BACKOFF_S
            await self._changed.wait()
        return 0.0

    def _on_change(self, _before: ProcessState, _after: ProcessState) -> None:
        self._changed.set()
