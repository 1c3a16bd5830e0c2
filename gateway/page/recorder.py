"""Writes the history: each gateway counts the ends that it hears of, and one of them writes a step every 10 s."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, NoReturn

from gateway.page.overview import scaler_of
from gateway.page.steps import Step
from workers.stream import HISTORY_STEP_S, Status, is_out_of_memory, is_unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.waits.ends import RecentEnds
    from workers.stream import QueueGlance, Stream

logger = logging.getLogger(__name__)

_STEP_MS = HISTORY_STEP_S * 1000


class Recorder:
    """The writer of one queue's history in this process. Another gateway takes over when this one stops calling."""

    def __init__(self, stream: Stream, ends: RecentEnds, name: str = "") -> None:
        self._stream = stream
        self._ends = ends
        self._name = name or os.urandom(8).hex()

    async def run(self) -> NoReturn:
        """Records a step whenever one is over; never returns. A step is lost if the server can't take it."""
        while True:
            await asyncio.sleep(HISTORY_STEP_S - time.time() % HISTORY_STEP_S)
            try:
                await self.record()
            except Exception as error:
                if not (is_unavailable(error) or is_out_of_memory(error)):
                    raise
                logger.debug("a step of the history is lost: %s", error)

    async def record(self) -> bool:
        """Writes the step that is just over. False: another gateway writes the history."""
        count, ids = self._ends.taken()
        overviews = self._stream.overviews
        if not await overviews.leads(self._name):
            return False
        glance = await overviews.read()
        waits, latencies = await self._times(ids)
        step = step_of(glance, count, waits, latencies)
        at_ms = (glance.now_ms + _STEP_MS // 2) // _STEP_MS * _STEP_MS - _STEP_MS
        return await overviews.write(self._name, at_ms, step.dump())

    async def _times(self, ids: Sequence[str]) -> tuple[list[float], list[float]]:
        """Seconds from push to start and from push to end of these jobs, as far as they have run and are kept."""
        views = await self._stream.view_many([(one, False) for one in ids]) if ids else []
        ran = [view for view in views if view and view.started_ms and view.status in (Status.FINISHED, Status.FAILED)]
        waits = [max(0, (view.started_ms or 0) - view.queued_ms) / 1000 for view in ran]
        return waits, [max(0, (view.finished_ms or 0) - view.queued_ms) / 1000 for view in ran]


def step_of(glance: QueueGlance, ended: int, waits: Sequence[float], latencies: Sequence[float]) -> Step:
    """The step that ends with this glance."""
    states = [worker.state for worker in glance.workers]
    scaler = scaler_of(glance)
    return Step(
        arrived=glance.arrived,
        ended=ended,
        waiting=glance.waiting,
        running=glance.running,
        ready=sum(state in ("idle", "busy") for state in states),
        starting=states.count("starting"),
        wanted=scaler.replicas if scaler else None,
        rate=scaler.rate if scaler else None,
        lead_s=scaler.lead_s if scaler else None,
        waits=tuple(sorted(waits)),
        latencies=tuple(sorted(latencies)),
    )
