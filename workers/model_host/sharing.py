"""Runs the jobs of a model with an async `predict` that may run several at the same time in one process.

`on_room` is told how many jobs may be here at once: as many for each process as its model runs, and fewer for one that
is to be replaced after some more. A job that is to be run alone waits for a process that has no other, and no job that
came later overtakes it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from workers.model_host.errors import ModelTimedOut
from workers.model_host.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.model_host.protocol.job_at_hand import JobAtHand
    from workers.model_host.slot import Slot


class Sharing:
    """Finds each job a place in a process, of which each has `size`. `on_room` gets the room whenever it changes."""

    def __init__(self, slots: Sequence[Slot], size: int, on_room: Callable[[int], None]) -> None:
        self._slots = slots
        self._room = Room(slots, on_room)
        self._count = 0  # of the jobs that are here
        self._line = asyncio.Lock()  # who has it is the next to get a place
        self._changed = asyncio.Event()
        self._is_waiting_alone = False
        self._reserved: set[Slot] = set()  # by a job that runs alone
        self.size = size

    async def predict(self, input_json: bytes, timeout_s: float | None, alone: bool, job: JobAtHand) -> bytes:
        """Runs one job's input (JSON) beside others, or `alone`; the result is JSON too. Raises as `ModelHost.predict`.

        It has `timeout_s` seconds from its start on. A cancel is raised once the model has ended the job, or its
        process is gone.
        """
        self._count += 1
        slot: Slot | None = None
        try:
            async with self._line:
                slot = await self._place(alone)
            async with asyncio.timeout(timeout_s):
                return await slot.predict(input_json, job.within(timeout_s))
        except TimeoutError:
            if slot is not None:
                slot.count_failure()
            raise ModelTimedOut(f"the model took longer than {timeout_s:g} s, and was stopped") from None
        finally:
            self._count -= 1
            if alone and slot is not None:
                self._reserved.discard(slot)
            self.turn_soon()

    def turn_soon(self) -> None:
        """A process has changed: the next job may find a place."""
        self._changed.set()
        self.tell_room()

    def tell_room(self) -> None:
        """Tells how many jobs may be here, if that has changed."""
        if self._is_waiting_alone:  # others could only wait behind it
            room = self._count
        else:
            room = sum(1 if slot in self._reserved else slot.room(self.size) for slot in self._slots)
        self._room.tell(room)

    def stop(self) -> None:
        """There are no processes any more."""
        self._room.is_stopped = True
        self._changed.set()

    async def _place(self, alone: bool) -> Slot:
        """A process with room, the one with the fewest jobs; reserved if the job is to be run alone."""
        try:
            while True:
                free = [slot for slot in self._slots if slot.has_room and slot not in self._reserved]
                slot = min(free, key=lambda slot: slot.running, default=None)
                if slot is not None and not (alone and slot.running):
                    if alone:
                        self._reserved.add(slot)
                    return slot
                if (why := self._room.hopeless()) is not None:
                    raise why
                self._is_waiting_alone = alone
                self.tell_room()
                self._changed.clear()
                await self._changed.wait()
        finally:
            if alone:
                self._is_waiting_alone = False
                self.tell_room()
