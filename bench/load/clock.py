"""The run's clock, and how far the service's is from it."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.load.account import Job

# The service's times are whole milliseconds.
_GRAIN_S = 0.001


class Clock:
    """Seconds since the run's begin, which is when this is made."""

    def __init__(self) -> None:
        self._zero_s = time.perf_counter()
        self._zero_epoch_s = time.time()

    @property
    def started(self) -> str:
        """The begin, ISO 8601 in UTC."""
        return datetime.fromtimestamp(self._zero_epoch_s, tz=UTC).isoformat(timespec="milliseconds")

    def __call__(self) -> float:
        return time.perf_counter() - self._zero_s

    def read(self, text: object) -> float | None:
        """An RFC 3339 time of the service; None if it is none."""
        if not isinstance(text, str):
            return None
        try:
            return datetime.fromisoformat(text).timestamp() - self._zero_epoch_s
        except ValueError:
            return None


def offset_s(jobs: Iterable[Job]) -> float:
    """How far the service's clock is ahead; 0 if the jobs do not tell the two apart.

    A job is queued after its push is sent and before it is acknowledged. Where no offset fits all jobs, a clock
    was set meanwhile: then it is the median of what fits each.
    """
    fits = [
        (job.queued_s - job.accepted_s - _GRAIN_S, job.queued_s - job.sent_s + _GRAIN_S)
        for job in jobs
        if job.queued_s is not None and job.accepted_s is not None and job.sent_s is not None
    ]
    if not fits:
        return 0.0
    least, most = max(low for low, _ in fits), min(high for _, high in fits)
    if least <= 0 <= most:
        return 0.0
    if least <= most:
        return (least + most) / 2
    return statistics.median((low + high) / 2 for low, high in fits)
