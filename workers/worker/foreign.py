"""Jobs whose function this worker does not have: they go back, for a worker that has it."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from arq.worker import JobExecutionFailed

from workers.telemetry.log_job import about
from workers.worker.attempt import Failed

if TYPE_CHECKING:
    from workers.stream import Claimed
    from workers.worker.session import Session

logger = logging.getLogger(__name__)

# A job waits for as long as it has been handed back before, within these bounds and give or take a half. So a worker
# that has just got the function soon has the job, and jobs that nobody can run cost each worker little.
LEAST_PAUSE_S = 1.0
MOST_PAUSE_S = 30.0
# One line of the log tells of all that were handed back within this time.
_LOG_EVERY_S = 10.0


def not_found(function: str) -> Failed:
    """The error of a job whose function nobody has."""
    text = f"function {function!r} not found"
    return Failed("FunctionNotFound", text, JobExecutionFailed(text))


class ForeignJobs:
    """Hands such jobs back to the stream. `left` has those of a worker in burst mode, by their ids."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.burst = False
        self._untold: Counter[str] = Counter()
        self._told_s = -_LOG_EVERY_S
        self.left: dict[str, Claimed] = {}

    async def put_off(self, job: Claimed) -> Failed | None:
        """Hands a job back that was just claimed. The error if it has failed instead: nobody had its function for long.

        Its attempt is not counted.
        """
        session = self._session
        # The next one woken for the job should be another worker.
        session.life.step_back()
        if self.burst:
            self.left[job.id] = job
        patience_s, stretch = session.settings.unknown_function_s, random.uniform(0.5, 1.5)  # noqa: S311
        call = (session.id, job.id, job.attempt, LEAST_PAUSE_S, MOST_PAUSE_S, patience_s, stretch)
        wait_ms = await session.outage.call(lambda: session.stream.put_off(*call), "handing a job back")
        if wait_ms == 0:
            self.left.pop(job.id, None)
            logger.error(
                "job %s failed: function %r not found: no worker has had it for %g s",
                *(job.id, job.function, patience_s),
                extra=about(job.id, job.attempt),
            )
            return not_found(job.function)
        if wait_ms > 0:
            session.metrics.jobs["released"] += 1
            self._tell(job)
        return None

    async def waiting(self) -> int:
        """How many of `left` have not ended."""
        if not self.left:
            return 0
        session, wanted = self._session, [(job_id, False) for job_id in self.left]
        views = await session.outage.call(lambda: session.stream.view_many(wanted), "burst")
        for view, (job_id, _) in zip(views, wanted, strict=True):
            if view is None or view.status.ended:
                self.left.pop(job_id, None)
        return len(self.left)

    def _tell(self, job: Claimed) -> None:
        self._untold[job.function] += 1
        now_s = time.monotonic()
        if now_s - self._told_s < _LOG_EVERY_S:
            return
        session, self._told_s = self._session, now_s
        logger.error(
            "worker %s has no function %s: %d jobs of the queue %s were handed back for a worker that has it, the last "
            "is %s; workers with other functions need a QUEUE_NAME of their own",
            *(session.id, ", ".join(map(repr, self._untold)), self._untold.total()),
            *(session.settings.queue_name, job.id),
        )
        self._untold.clear()
