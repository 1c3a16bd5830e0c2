"""Keeps models loaded in processes of their own and runs jobs on them.

With the model in a process of its own, the event loop goes on while the model holds the GIL, a crash fails one job
only, and a job that runs can be stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from workers.model_host.errors import ModelCrashed, ModelLoadFailed, ModelNotFound
from workers.model_host.process import ModelProcess, ProcessState

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

LOAD_ATTEMPTS = 3
BACKOFF_S = 0.5  # doubles with each failure
_LOADED = (ProcessState.IDLE, ProcessState.BUSY)


class ModelHost:
    """Keeps `size` processes with the model `module:Class` loaded.

    A process is killed if loading takes longer than `load_timeout_s` seconds, gets MemoryError above
    `memory_limit_bytes` of address space (0 is no limit), and may return at most `max_result_bytes` of JSON. When it is
    to end, it has `stop_grace_s` seconds from SIGTERM to SIGKILL.
    `on_loaded` is called with the number of processes that have the model loaded (`count`) whenever it changes,
    `on_load_s` with the seconds that each took to load.
    """

    def __init__(
        self,
        model: str,
        size: int,
        *,
        load_timeout_s: float,
        memory_limit_bytes: int,
        max_result_bytes: int,
        stop_grace_s: float,
        on_loaded: Callable[[int], None],
        on_load_s: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._model = model
        self._size = size
        self._load_timeout_s = load_timeout_s
        self._memory_limit_bytes = memory_limit_bytes
        self._max_result_bytes = max_result_bytes
        self._stop_grace_s = stop_grace_s
        self._on_loaded = on_loaded
        self._on_load_s = on_load_s
        self._processes: list[ModelProcess] = []
        self._available = asyncio.Event()
        self._loaded = asyncio.Event()
        self._stopped = False
        self.count = 0

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
        """Runs one job's input (JSON) on an idle process, waiting for one if need be; the result is JSON too.

        Raises ModelCrashed, ModelRaised and ModelAskedAgain. A cancel while the job runs is raised once the process is
        gone.
        """
        while True:
            for process in self._processes:
                if process.state is ProcessState.IDLE:
                    return await process.predict(input_json)
            if self._stopped:
                raise ModelCrashed("the model's processes have been stopped")
            self._available.clear()
            await self._available.wait()

    async def _keep(self) -> None:
        """Keeps one process loaded: starts another when it dies."""
        failures = 0
        while True:
            process = ModelProcess(
                self._model,
                memory_limit_bytes=self._memory_limit_bytes,
                max_result_bytes=self._max_result_bytes,
                stop_grace_s=self._stop_grace_s,
                on_change=self._on_change,
            )
            self._processes.append(process)
            started_s = time.monotonic()
            try:
                await process.load(self._load_timeout_s)
                self._on_load_s(time.monotonic() - started_s)
                await process.until_dead()
            except ModelNotFound:
                raise
            except ModelLoadFailed as error:
                failures += 1
                if failures == LOAD_ATTEMPTS:
                    raise
                logger.warning("%s; trying again", error)
                pause_s = BACKOFF_S * 2 ** (failures - 1)
            else:
                failures = 0
                logger.warning("the model's process %s; starting another", process.how)
                # A model that dies by itself is not started over and over without a pause.
                pause_s = 0 if process.used else BACKOFF_S
            finally:
                await process.stop()
                self._processes.remove(process)
            await asyncio.sleep(pause_s)

    def _on_change(self, before: ProcessState, after: ProcessState) -> None:
        """Follows the states of the processes."""
        if after is ProcessState.IDLE:
            self._available.set()
        if change := (after in _LOADED) - (before in _LOADED):
            self.count += change
            self._loaded.set()
            self._on_loaded(self.count)
