"""Cron jobs: pushed at their times, each once however many workers there are."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from workers.stream import NewJob, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from arq.cron import CronJob

    from workers.stream import Outage, Stream

logger = logging.getLogger(__name__)

MISSED_S = 60.0  # a run that is later than this (the server was away) is skipped for the next one
_LONGEST_SLEEP_S = 30.0  # the clock may be set meanwhile


class Schedule:
    """arq's cron jobs in the worker's time zone."""

    def __init__(self, jobs: Sequence[CronJob], stream: Stream, outage: Outage, timezone: tzinfo | None) -> None:
        self._jobs = jobs
        self._stream = stream
        self._outage = outage
        self._timezone = timezone

    async def run(self) -> None:
        """Pushes what is due; never returns."""
        now = self._now()
        due = {id(job): now if job.run_at_startup else next_run(job, now) for job in self._jobs}
        while self._jobs:
            job = min(self._jobs, key=lambda job: due[id(job)].timestamp())
            at = job.next_run = due[id(job)]
            wait_s = at.timestamp() - time.time()
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, _LONGEST_SLEEP_S))
                continue
            if wait_s > -MISSED_S:
                await self._push(job, at)
                due[id(job)] = next_run(job, at)
            else:
                logger.warning("%s: the run of %s was missed", job.name, at.isoformat(timespec="seconds"))
                due[id(job)] = next_run(job, self._now())
        await asyncio.Event().wait()

    async def _push(self, job: CronJob, due: datetime) -> None:
        # The key, not the id, makes it once: a cron job's record is usually gone as soon as it ends. As in arq, an id
        # stands for one job at a time, whatever the function.
        of = f"cron-id:{job.job_id}" if job.job_id else f"cron:{job.name}"
        key = f"{of}:{round(due.timestamp() * 1000)}" if job.unique or job.job_id else ""
        new = NewJob(
            job.job_id or uuid.uuid4().hex,
            b"[]",
            function=job.name,
            idempotency_key=key,
            fingerprint=key and "cron",
            outlives_job=True,
        )
        why = ""
        try:
            pushed = await self._outage.call(lambda: self._stream.push(new), "pushing a cron job")
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            why = "the server is out of memory"
        else:
            why = "the backlog is full" if pushed.outcome == "full" else ""
        if why:
            logger.error("%s: %s, its run of %s is dropped", job.name, why, due.isoformat("T", "seconds"))

    def _now(self) -> datetime:
        return datetime.now(tz=self._timezone)


def next_run(job: CronJob, after: datetime) -> datetime:
    """arq's next time of a job, moved on where the wall clock goes back (an hour that comes twice)."""
    job.calculate_next(after)
    at = job.next_run
    assert at is not None  # noqa: S101
    return at if at.timestamp() > after.timestamp() else at.replace(fold=1)
