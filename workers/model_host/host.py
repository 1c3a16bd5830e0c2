"""Keeps models loaded in processes of their own and runs jobs on them.

With the model in a process of its own, the event loop goes on while the model holds the GIL, a crash fails one job
only, and a job that runs can be stopped.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from workers.model_host.batches import Batches
from workers.model_host.errors import ModelCrashed, ModelTimedOut, ModelUnavailable
from workers.model_host.forks.keeper import TemplateKeeper
from workers.model_host.process.start import SlowStarts
from workers.model_host.process.state import ProcessState
from workers.model_host.protocol.job_at_hand import NO_JOB
from workers.model_host.sharing import Sharing
from workers.model_host.slot import Slot
from workers.model_host.spares import Spares

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.options import ModelOptions
    from workers.model_host.protocol.job_at_hand import JobAtHand

logger = logging.getLogger(__name__)

_LOADED = (ProcessState.IDLE, ProcessState.BUSY)


class ModelHost:
    """Keeps `size` processes with the model loaded. `count` is how many of them have it loaded now.

    `on_room` is called with the number of jobs that may run at once whenever it changes: `count`, or more if the model
    has `predict_batch` or runs several jobs at once in a process. `on_load_s` is called with the seconds that each
    process took to load.
    """

    def __init__(
        self,
        options: ModelOptions,
        size: int,
        on_room: Callable[[int], None],
        on_load_s: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._options = options
        self._on_room = on_room
        self._several: Batches | Sharing | None = None  # if a process may have more than one job
        self._changed = asyncio.Event()
        self._loaded = asyncio.Event()
        self._files: tuple[str, ...] = ()
        self._stopped = False
        self.count = 0
        self._templates = TemplateKeeper(options, on_load_s) if options.is_forked else None
        starts = self._templates or SlowStarts(options)
        self._spares = Spares(options, size, starts, on_load_s)
        self._complete = asyncio.Event()
        self._slots = [
            Slot(options, index, starts, self._spares, self._on_change, self._on_broken, on_load_s)
            for index in range(size)
        ]

    @property
    def batch_size(self) -> int:
        """How many jobs are run in one call of the model. It is known once a process has been loaded."""
        return self._several.size if isinstance(self._several, Batches) else 1

    @property
    def files(self) -> tuple[str, ...]:
        """Members of an input in which there may be files; '' is the whole. It is known once a process was loaded."""
        return self._files

    @property
    def max_concurrency(self) -> int:
        """How many jobs one process runs at the same time. It is known once a process has been loaded."""
        return self._several.size if isinstance(self._several, Sharing) else 1

    async def loaded(self) -> None:
        """Returns when a process has been loaded for the first time."""
        await self._loaded.wait()

    async def run(self) -> None:
        """Starts the processes and replaces those that die, until cancelled; then none of them is left.

        Raises ModelLoadFailed when one has failed to load three times in succession, or ModelNotFound.
        """
        try:
            async with asyncio.TaskGroup() as group:
                if self._templates is not None:
                    group.create_task(self._templates.keep())
                group.create_task(self._spares.keep(self._complete))
                for slot in self._slots:
                    group.create_task(slot.keep())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._stopped = True
            self._changed.set()
            if self._several is not None:
                self._several.stop()

    async def predict(
        self, input_json: bytes, timeout_s: float | None = None, *, alone: bool = False, job: JobAtHand = NO_JOB
    ) -> bytes:
        """Runs one job's input (JSON) on an idle process, waiting for one if need be; the result is JSON too.

        `job` is what the model is told of it. If the model has `predict_batch`, it is run in one call with others, and
        if the model runs several jobs at once, beside others, unless `alone`.

        Raises ModelRaised, ModelAskedAgain, ModelCrashed, ModelTimedOut after `timeout_s` seconds, and ModelUnavailable
        if no process is to be expected soon. A cancel or a time-out while the job runs is raised once its process is
        gone, or the model has ended the job by itself; a cancel of one job of a batch at once.
        """
        if self._several is not None:
            return await self._several.predict(input_json, timeout_s, alone, job)
        job = job.within(timeout_s)
        slot: Slot | None = None
        try:
            async with asyncio.timeout(timeout_s):
                slot = await self._idle_slot()
                return await slot.predict(input_json, job)
        except TimeoutError:
            if slot is not None:
                slot.count_failure()
            raise ModelTimedOut(f"the model took longer than {timeout_s:g} s, and was stopped") from None

    async def _idle_slot(self) -> Slot:
        while True:
            for slot in self._slots:
                if slot.idle:
                    return slot
            if self._stopped:
                raise ModelCrashed("the model's processes have been stopped")
            if all(slot.broken for slot in self._slots):
                raise ModelUnavailable("the model is broken")
            self._changed.clear()
            await self._changed.wait()

    def _on_change(self, before: ProcessState, after: ProcessState) -> None:
        """Follows the states of the processes."""
        if after is ProcessState.IDLE:
            self._changed.set()
        if change := (after in _LOADED) - (before in _LOADED):
            self.count += change
            if not self._loaded.is_set():
                self._files = next(slot.abilities.files for slot in self._slots if slot.loaded)
                self._several = self._make_batches() or self._make_sharing()
            self._loaded.set()
            if self.count == len(self._slots):
                self._complete.set()
            if self._several is None:
                self._on_room(self.count)
            else:
                self._several.tell_room()
        if self._several is not None:
            self._several.turn_soon()

    def _make_batches(self) -> Batches | None:
        """What runs several jobs in one call, if the model that has just been loaded can do that."""
        told = next(slot.abilities for slot in self._slots if slot.loaded)
        options = self._options
        if not told.max_batch_size:
            if options.max_batch_size > 1:
                logger.warning("MODEL_MAX_BATCH_SIZE has no effect: the model has no method predict_batch")
            return None
        size = options.max_batch_size or told.max_batch_size
        if size == 1:
            return None
        wait_s = told.max_batch_wait_s if options.max_batch_wait_s is None else options.max_batch_wait_s
        return Batches(self._slots, size, wait_s, self._on_room)

    def _make_sharing(self) -> Sharing | None:
        """What runs several jobs at the same time in a process, if the model that has just been loaded can do that."""
        size = next(slot.abilities.max_concurrency for slot in self._slots if slot.loaded)
        if size == 1:
            if self._options.max_concurrency > 1:
                logger.warning("MODEL_MAX_CONCURRENCY has no effect: the model has no async predict, or predict_batch")
            return None
        return Sharing(self._slots, size, self._on_room)

    def _on_broken(self) -> None:
        self._changed.set()
        if self._several is not None:
            self._several.turn_soon()
