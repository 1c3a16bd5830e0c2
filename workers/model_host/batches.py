"""Runs the jobs of a model with `predict_batch`: several that wait in one call of an idle process.

A call that fails as a whole (it raises, crashes, takes too long or returns no list of as many results) tells nothing of
the single jobs. Each of them is then run alone, before any other, so that only the one which is to blame fails.

Other jobs do not wait here for a process. `on_room` is told how many jobs may be here at once: for an idle process as
many as a batch may have, for one that runs a batch only as many as are in it. So no job waits for the end of a batch
that another worker could run at once, and the next claim fills a whole batch. Example, with a size of 20: a job that
comes alone is run alone, and the room is 1; of the 30 jobs that come meanwhile none is claimed, and 20 when it is done.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING

from workers.model_host.errors import ModelTimedOut
from workers.model_host.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.model_host.protocol.job_at_hand import JobAtHand
    from workers.model_host.slot import Slot

logger = logging.getLogger(__name__)


class Batches:
    """Puts jobs together, at most `size` of them, and hands each its own outcome.

    A batch that is smaller waits up to `wait_s` seconds for more. `on_room` is called with the number of jobs that may
    be here at once, whenever it changes.
    """

    def __init__(self, slots: Sequence[Slot], size: int, wait_s: float, on_room: Callable[[int], None]) -> None:
        self._slots = slots
        self._wait_s = wait_s
        self._room = Room(slots, on_room)
        self._waiting: deque[_Job] = deque()
        self._batches: dict[Slot, _Batch] = {}
        self._loop = asyncio.get_running_loop()
        self._turns: list[asyncio.Handle] = []
        self.size = size

    async def predict(self, input_json: bytes, timeout_s: float | None, alone: bool, at_hand: JobAtHand) -> bytes:
        """Runs one job's input (JSON), `alone` or with others; the result is JSON too. Raises as `ModelHost.predict`.

        Each call has `timeout_s` seconds, from its own start on. A cancel ends the call, and is raised once its process
        is gone, unless the call has other jobs: then it goes on for them, and the cancel is raised at once. That of a
        job with files is raised when the call is over: the model may be reading them.
        """
        job = _Job(input_json, timeout_s, alone, at_hand, self._loop)
        self._waiting.append(job)
        self.turn_soon()
        try:
            return await job.outcome
        except asyncio.CancelledError:
            await self._withdraw(job)
            raise

    def turn_soon(self) -> None:
        """Looks for an idle process, and tells how much room there is, once the tasks that are ready have run."""
        self._turns.append(self._loop.call_soon(self._take_turn))

    def tell_room(self) -> None:
        """Tells how many jobs may be here, if that has changed."""
        room = 0
        for slot in self._slots:
            if (batch := self._batches.get(slot)) is not None:
                room += batch.size
            elif slot.loaded:
                room += self.size
        self._room.tell(room)

    def stop(self) -> None:
        """There are no processes any more."""
        self._room.is_stopped = True
        self._take_turn()

    # what waits

    def _take_turn(self) -> None:
        for turn in self._turns:
            turn.cancel()
        self._turns.clear()
        while self._waiting and (slot := self._idle_slot()) is not None and (jobs := self._next()):
            batch = self._batches[slot] = _Batch(jobs)
            # Whichever job's task calls this: the lines of one job's call are about it, those of a batch about none.
            context = jobs[0].context if len(jobs) == 1 else Context()
            batch.task = self._loop.create_task(self._run(slot, batch), context=context)
            # It may be cancelled before its first step.
            batch.task.add_done_callback(partial(self._end, slot, batch))
        if self._waiting and (why := self._room.hopeless()) is not None:
            for job in self._waiting:
                job.end(why)
            self._waiting.clear()
        self.tell_room()

    def _idle_slot(self) -> Slot | None:
        return next((slot for slot in self._slots if slot.idle and slot not in self._batches), None)

    def _next(self) -> list[_Job]:
        """Takes the jobs of the next batch; none if more are waited for."""
        if self._waiting[0].alone:
            return [self._waiting.popleft()]
        count = next((place for place, job in enumerate(self._waiting) if job.alone), len(self._waiting))
        rest_s = self._waiting[0].since_s + self._wait_s - self._loop.time()
        if count == len(self._waiting) < self.size and rest_s > 0:
            self._turns.append(self._loop.call_later(rest_s, self._take_turn))
            return []
        return [self._waiting.popleft() for _ in range(min(count, self.size))]

    # what runs

    async def _run(self, slot: Slot, batch: _Batch) -> None:
        jobs = batch.jobs
        if not slot.idle:  # it has died since
            self._put_back(jobs)
        elif len(jobs) == 1:
            jobs[0].end(await self._alone(slot, jobs[0]))
        else:
            await self._together(slot, jobs)
        self._end(slot, batch)

    async def _alone(self, slot: Slot, job: _Job) -> bytes | Exception:
        try:
            async with asyncio.timeout(job.timeout_s):
                return await slot.predict(job.input_json, job.at_hand.within(job.timeout_s))
        except TimeoutError:
            slot.count_failure()
            return _timed_out(job)
        except Exception as error:  # noqa: BLE001 - it is raised in `predict`
            return error

    async def _together(self, slot: Slot, jobs: list[_Job]) -> None:
        # A call that is too long for one of its jobs tells nothing of the others: each is then run alone.
        shortest = min(jobs, key=lambda job: math.inf if job.timeout_s is None else job.timeout_s)
        try:
            async with asyncio.timeout(shortest.timeout_s):
                outcomes = await slot.predict_batch([job.input_json for job in jobs], [job.at_hand for job in jobs])
        except Exception as error:  # noqa: BLE001 - whatever it is: alone, each job gets its own
            why = _timed_out(shortest) if isinstance(error, TimeoutError) else error
            logger.warning("a batch of %d jobs failed, and each is run alone: %s", len(jobs), why)
            for job in jobs:
                job.alone = True
            self._put_back(jobs)
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.end(outcome)

    def _put_back(self, jobs: Sequence[_Job]) -> None:
        """Has those that are still wanted run before any other."""
        self._waiting.extendleft(job for job in reversed(jobs) if not job.outcome.done())

    def _end(self, slot: Slot, batch: _Batch, _task: asyncio.Task[None] | None = None) -> None:
        """Has the next batch begin, and tells the room that there is now.

        The tasks of this batch's jobs hear of their outcomes before whoever claims hears of the room, so that the next
        claim is for a whole batch.
        """
        if self._batches.get(slot) is batch:
            del self._batches[slot]
            self._take_turn()

    async def _withdraw(self, job: _Job) -> None:
        """Nobody waits for the job any more."""
        if job in self._waiting:
            self._waiting.remove(job)
            self.turn_soon()
        batch = next((one for one in self._batches.values() if job in one.jobs), None)
        if batch is None:
            return
        self._loop.call_soon(self._abandon, batch)
        await asyncio.sleep(0)  # others may be cancelled together with this one
        is_needed = not batch.size or job.at_hand.takes_files
        if is_needed and batch.task is not None and not batch.task.done():
            await asyncio.wait([batch.task])

    def _abandon(self, batch: _Batch) -> None:
        """Ends a call that nobody waits for any more."""
        if not batch.size and batch.task is not None:
            batch.task.cancel()
        self.tell_room()


class _Job:
    """One job, from its arrival to its outcome."""

    def __init__(
        self,
        input_json: bytes,
        timeout_s: float | None,
        alone: bool,
        at_hand: JobAtHand,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.input_json = input_json
        self.timeout_s = timeout_s
        self.alone = alone
        self.at_hand = at_hand
        self.context = copy_context()
        self.since_s = loop.time()
        self.outcome: asyncio.Future[bytes] = loop.create_future()

    def end(self, outcome: bytes | Exception) -> None:
        """Hands it to the one who waits; no effect if nobody does any more."""
        if self.outcome.done():
            return
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class _Batch:
    """Jobs that run in one call."""

    def __init__(self, jobs: list[_Job]) -> None:
        self.jobs = jobs
        self.task: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """How many of them are still wanted."""
        return sum(not job.outcome.done() for job in self.jobs)


def _timed_out(job: _Job) -> ModelTimedOut:
    return ModelTimedOut(f"the model took longer than {job.timeout_s:g} s, and was stopped")
