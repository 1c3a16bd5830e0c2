"""One place for a process with the model in it: keeps one there, and finds out whether the model works at all.

A model may be broken for good: after a CUDA error, or without file descriptors, it fails every job. But jobs may also
fail because their inputs are bad, and those must not stop a worker. What tells the two apart is an input that the
model has answered before. After `max_failures` failed jobs in succession:

- The slot's last answered input is run again. If the model answers, the inputs were bad, and all goes on.
- If it does not, the process is replaced, and the new one has to answer that input before it gets a job.
- If it does not either, the model is broken: the slot is empty for a pause that doubles each time, then tries again.
- If the slot's model has never answered anything, its process is replaced, and it is broken if that one fails as many
  jobs in succession.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING

from workers.model_host import backoff
from workers.model_host.backoff import Backoff, LoadAttempts
from workers.model_host.errors import (
    InputInvalid,
    ModelAskedAgain,
    ModelBroken,
    ModelCrashed,
    ModelLoadFailed,
    ModelNotForked,
    ModelNotFound,
    ModelRaised,
)
from workers.model_host.process.process import ModelProcess
from workers.model_host.process.state import ProcessState
from workers.model_host.protocol.abilities import Abilities
from workers.model_host.protocol.job_at_hand import NO_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.model_host.options import ModelOptions
    from workers.model_host.process.answers import BatchOutcome
    from workers.model_host.process.start import Starts
    from workers.model_host.protocol.job_at_hand import JobAtHand
    from workers.model_host.spares import Spares

logger = logging.getLogger(__name__)

BROKEN_S = 5.0  # the first pause of a model that is broken
FORK_MOST_S = 10.0  # between two tries to fork
MAX_KEPT_BYTES = 262_144  # of an input that has been answered
_FAILED = (ModelRaised, ModelCrashed)


class Slot:
    """Runs one job or batch at a time, or several jobs at once, in processes from `starts` or in `spares`.

    The first of them has the index `index`.

    `on_change` is called after each change of its process's state, with the states before and after it; `on_broken`
    when the model is found to be broken; `on_load_s` with the seconds that each process took to load.
    """

    def __init__(
        self,
        options: ModelOptions,
        index: int,
        starts: Starts,
        spares: Spares,
        on_change: Callable[[ProcessState, ProcessState], None],
        on_broken: Callable[[], None],
        on_load_s: Callable[[float], None],
    ) -> None:
        self._options = options
        self._index = index
        self._starts = starts
        self._spares = spares
        self._on_change = on_change
        self._on_broken = on_broken
        self._on_load_s = on_load_s
        self._process: ModelProcess | None = None
        self._jobs_left = 0
        self._failures = 0  # in succession
        self._answered: bytes | None = None  # the last input that was
        self._suspect = False
        self._in_vain = ""  # why it is known to be broken
        self._started_s = 0.0  # when its last process was
        self._broken_pauses = Backoff(BROKEN_S)
        self._fork_pauses = Backoff(backoff.BACKOFF_S, FORK_MOST_S)
        self._loads = LoadAttempts()
        self.broken = False

    @property
    def abilities(self) -> Abilities:
        """Those of the model in its process."""
        return Abilities() if self._process is None else self._process.abilities

    @property
    def loaded(self) -> bool:
        """Whether its process has the model loaded."""
        return self._process is not None and self._process.state in (ProcessState.IDLE, ProcessState.BUSY)

    @property
    def idle(self) -> bool:
        """Whether it can run a job now."""
        return self._process is not None and self._process.state is ProcessState.IDLE

    @property
    def has_room(self) -> bool:
        """Whether it can run a job now, perhaps beside others."""
        return self._process is not None and self._process.has_room and self._jobs_left != 0

    @property
    def running(self) -> int:
        """How many jobs it runs, if its model runs several at the same time."""
        return 0 if self._process is None else self._process.running

    def room(self, most: int) -> int:
        """How many jobs its process may have at once, those that it has included; `most`, unless it ends before."""
        if not self.loaded:
            return 0
        return most if self._jobs_left < 0 else min(most, self.running + self._jobs_left)

    # its jobs

    async def predict(self, input_json: bytes, job: JobAtHand = NO_JOB) -> bytes:
        """Runs one job's input (JSON); the result is JSON too. The slot must be idle, or have room.

        Raises ModelRaised, ModelAskedAgain and ModelCrashed. A cancel is raised once the process is gone or the job has
        ended.
        """
        process = self._process
        assert process is not None  # noqa: S101
        self._count_down(1)
        try:
            result = await process.predict(input_json, job)
        except InputInvalid:
            raise  # it tells nothing of the model
        except (ModelRaised, ModelCrashed) as error:
            self.count_failure()
            if self._failures == 0:
                await self._examine(process, error)
            raise
        else:
            self._note_answer(b"" if job.takes_files else input_json)
            return result
        finally:
            self._end_after_its_jobs(process)

    async def predict_batch(self, inputs: Sequence[bytes], jobs: Sequence[JobAtHand]) -> list[BatchOutcome]:
        """Runs the inputs of several jobs (JSON) in one call. The outcomes are in their order. The slot must be idle.

        Raises as `predict` does if the call failed as a whole. That is not counted: each job is then to be run alone.
        """
        process = self._process
        assert process is not None  # noqa: S101
        self._count_down(len(inputs))
        try:
            outcomes = await process.predict_batch(inputs, jobs)
            answered = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, bytes)]
            # An input that does not fit tells nothing of the model.
            failed = [one for one in outcomes if isinstance(one, _FAILED) and not isinstance(one, InputInvalid)]
            if answered:
                last = answered[-1]
                self._note_answer(b"" if jobs[last].takes_files else inputs[last])
            elif failed:
                self.count_failure(len(failed))
                if self._failures == 0:
                    await self._examine(process, failed[-1])
            return outcomes
        finally:
            self._end_after_its_jobs(process)

    def _count_down(self, jobs: int) -> None:
        if self._jobs_left > 0:
            self._jobs_left = max(0, self._jobs_left - jobs)

    def _end_after_its_jobs(self, process: ModelProcess) -> None:
        if self._jobs_left == 0 and process.state is ProcessState.IDLE:
            process.end("has had its number of jobs", self._options.stop_grace_s)

    def _note_answer(self, input_json: bytes) -> None:
        """The model works: it has answered this input, which is empty if it can't be run again."""
        self._failures = 0
        self._broken_pauses.reset()
        self._suspect = False
        if input_json and len(input_json) <= MAX_KEPT_BYTES:
            self._answered = input_json

    def count_failure(self, jobs: int = 1) -> None:
        """Jobs have failed, or took too long. The number is 0 again when the model is suspected to be broken."""
        most = self._options.max_failures
        self._failures += jobs
        if most and self._failures >= most:
            self._failures = 0
            if self._suspect and self._answered is None:
                self._in_vain = f"it failed {most} jobs in succession, as the process before"
            self._suspect = True

    async def _examine(self, process: ModelProcess, error: Exception) -> None:
        """Ends a process that seems to be broken. Raises ModelCrashed if its last job may be answered by another."""
        if not process.has_room:
            return
        if self._answered is None:
            process.end(f"failed {self._options.max_failures} jobs in succession", self._options.stop_grace_s)
            return
        try:
            await process.predict(self._answered)
        except ModelAskedAgain:
            pass
        except (ModelRaised, ModelCrashed) as found:
            process.end("failed with an input that it had answered before", self._options.stop_grace_s)
            raise ModelCrashed(f"{error}; the model seems to be broken: its process {process.how}: {found}") from found
        self._suspect = False
        logger.warning(
            "the model failed %d jobs in succession, and works: it answered an input that it had answered before",
            self._options.max_failures,
        )

    # its processes

    async def keep(self) -> None:
        """Keeps a process loaded until cancelled; then it is gone.

        Raises ModelLoadFailed when the model has failed to load three times in succession, or ModelNotFound.
        """
        while True:
            process = self._spare() or await self._started()
            try:
                pause_s = await self._life(process)
            finally:
                await process.stop()
                self._process = None
            if self._in_vain:
                await self._rest()
            else:
                await asyncio.sleep(pause_s)

    def _spare(self) -> ModelProcess | None:
        if (taken := self._spares.take(self._index)) is None:
            return None
        process, self._index = taken
        return process

    async def _started(self) -> ModelProcess:
        start = await self._starts.start_of(self._index)
        self._process = ModelProcess(self._options, start, self._on_change)
        return self._process

    async def _life(self, process: ModelProcess) -> float:
        """Has the process loaded, and waits for its end. The result is the pause before the next one, in seconds."""
        started_s = self._started_s = time.monotonic()
        self._jobs_left = _jobs_of(self._options.max_jobs)
        try:
            await process.load(self._answered if self._suspect else None)
            self._fork_pauses.reset()
            if self._process is None:  # a spare, which nobody else knew until now
                self._process = process
                process.hand_over(self._on_change)
            elif not self._starts.is_fast:
                self._on_load_s(time.monotonic() - started_s)
            await self._watch(process)
        except ModelNotFound:
            raise
        except ModelBroken as error:
            self._in_vain = str(error)
            return 0.0
        except ModelNotForked as error:
            pause_s = self._fork_pauses.next_s()
            logger.warning("the model's process %s; trying again in %g s", error, pause_s)
            return pause_s
        except ModelLoadFailed as error:
            if (until_next_s := self._loads.next_s()) is None:
                raise
            logger.warning("%s; trying again", error)
            return until_next_s
        self._loads.reset()
        if process.is_no_good and not process.has_answered:
            self._starts.renew(started_s)
        level = logging.INFO if self._jobs_left == 0 else logging.WARNING
        if not self._in_vain:
            logger.log(level, "the model's process %s; starting another", process.how)
        # A model that dies by itself is not started over and over without a pause.
        return 0.0 if process.used else backoff.BACKOFF_S

    async def _watch(self, process: ModelProcess) -> None:
        """Returns when the process is dead. Has it say every so often whether it is healthy, if it is idle then."""
        period_s = self._options.health_s if process.abilities.has_health else 0
        while process.state is not ProcessState.DEAD:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period_s or None):
                    await process.until_dead()
            if process.state is ProcessState.IDLE:
                await process.check_health(self._options.health_timeout_s)

    async def _rest(self) -> None:
        pause_s = self._broken_pauses.next_s()
        logger.error("the model is broken: %s; another process is started in %g s", self._in_vain, pause_s)
        self._in_vain = ""
        self.broken = True
        self._on_broken()
        self._starts.renew(self._started_s)
        await asyncio.sleep(pause_s)
        self.broken = False


def _jobs_of(max_jobs: int) -> int:
    """How many jobs a process gets: up to a fifth less, so that not all are replaced together. -1 is any number."""
    return random.randint(max_jobs - max_jobs // 5, max_jobs) if max_jobs else -1  # noqa: S311
