"""Who listens for the ends of a batch's jobs: one message has the ids of many jobs, and each ear hears its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from workers.stream import BATCH_ID_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterator


class BatchEar:
    """One request's. `heard` has the ids of jobs that have ended; `is_deaf` says that some may have been missed.

    One that `is_quiet` has had no news for long (`SignsOfLife`).
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_deaf = False
        self.is_quiet = False
        self._rung = asyncio.Event()

    def ring(self, *_: object) -> None:
        """Wakes the request."""
        self._rung.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Waits for a ring, up to so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
            self._rung.clear()

    def taken(self) -> list[str]:
        """What it has heard since the last time."""
        heard, self.heard = self.heard, []
        return heard


class BatchEars:
    """The ears of one process, by their batches."""

    def __init__(self) -> None:
        self._by_batch: dict[str, set[BatchEar]] = {}

    @contextlib.contextmanager
    def listening(self, batch_id: str) -> Iterator[BatchEar]:
        """An ear for the batch's jobs."""
        ear = BatchEar()
        self._by_batch.setdefault(batch_id, set()).add(ear)
        try:
            yield ear
        finally:
            ears = self._by_batch[batch_id]
            ears.discard(ear)
            if not ears:
                del self._by_batch[batch_id]

    def tell(self, job_id: str) -> None:
        """A job has ended."""
        if not self._by_batch:
            return
        for ear in self._by_batch.get(job_id[:BATCH_ID_CHARS], ()):
            ear.heard.append(job_id)
            ear.ring()

    def ring_all(self) -> None:
        """Ends may have been missed."""
        for ears in self._by_batch.values():
            for ear in ears:
                ear.is_deaf = True
                ear.ring()
