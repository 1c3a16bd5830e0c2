"""What became of every job. Each ends with exactly one outcome.

    finished     its data was fetched and is its own
    accepted     its push was acknowledged, and nobody waits (--push-only)
    failed       the service says so; or its data is not its own (`strange`)
    cancelled    the service says so
    given up     its user stopped asking: after so many polls, or because the run was interrupted
    refused      its push was answered with another status than 202, or (no status code) never answered
    lost         acknowledged, and then unknown (404), or not ended in time (`overdue`)
    duplicated   its result changed between two looks, or its id is another user's too

A push without an answer is repeated with its Idempotency-Key, which makes one job of any number of pushes: two ids
for one user can't come of that. A refused push may have been accepted all the same where the answer was 5xx.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.common.runs import Jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

# Percentiles of the live view are those of the last so many.
_RECENT = 20_000
BAD = ("lost", "duplicated")


@dataclass(slots=True)
class Job:
    """One user's job. Times are seconds since the run's begin; those of the service are by its own clock."""

    number: int
    scheduled_s: float
    service_s: float | None = None
    sent_s: float | None = None
    accepted_s: float | None = None
    queued_s: float | None = None
    started_s: float | None = None
    finished_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    status_code: int | None = None
    attempts: int | None = None
    id: str | None = None
    last: str = ""  # the last status that the service gave
    digest: bytes = b""  # of its data

    @property
    def lateness_s(self) -> float | None:
        """How long after its time its request left."""
        return None if self.sent_s is None else self.sent_s - self.scheduled_s


def digest(body: bytes) -> bytes:
    """What a body is recognized by."""
    return hashlib.blake2b(body, digest_size=16).digest()


class Account:
    """All jobs that were sent, and counts of them."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[int | None] = Counter()
        self.troubles: Counter[str] = Counter()  # answers that were no answers, and were asked for again
        self.strange = 0
        self.overdue: Counter[str] = Counter()  # by the last status known
        self.sent = 0
        self.accepted = 0
        self._ids: set[str] = set()
        self._latencies_s = array("d")

    @property
    def in_flight(self) -> int:
        """Users that do not know yet how their job ends."""
        return len(self.jobs) - self.outcomes.total()

    def open(self, job: Job) -> None:
        """A job's time has come."""
        self.jobs.append(job)

    def knows(self, job_id: str) -> bool:
        """Whether another user has this id already; it is taken from now on."""
        known = job_id in self._ids
        self._ids.add(job_id)
        return known

    def end(self, job: Job, outcome: str, at_s: float | None) -> None:
        """Of a job that has no outcome yet; at None its user never knew."""
        job.outcome = outcome
        job.ended_s = at_s
        self.outcomes[outcome] += 1
        if outcome == "refused":
            self.refusals[job.status_code] += 1
        if at_s is not None and outcome in ("finished", "accepted"):
            self._latencies_s.append(at_s - job.scheduled_s)

    def change(self, job: Job, outcome: str) -> None:
        """A second look found something else."""
        self.outcomes[job.outcome] -= 1
        self.outcomes[outcome] += 1
        job.outcome = outcome

    def percentiles_s(self, *percents: float) -> list[float | None]:
        """Of the latest latencies."""
        recent = np.frombuffer(self._latencies_s[-_RECENT:], dtype=np.float64)
        return [
            float(np.percentile(recent, percent, method="inverted_cdf")) if len(recent) else None
            for percent in percents
        ]

    @property
    def is_clean(self) -> bool:
        """Nothing was lost, duplicated or another's."""
        return not self.strange and not any(self.outcomes[outcome] for outcome in BAD)

    def columns(self, clock_offset_s: float) -> Jobs:
        """For the run's file. The service's times are made those of this clock."""
        return columns(self.jobs, clock_offset_s)


def columns(jobs: Iterable[Job], clock_offset_s: float) -> Jobs:
    """In the order of the scheduled times, to the microsecond."""
    table = Jobs()
    for job in sorted(jobs, key=lambda job: job.scheduled_s):
        table.scheduled_s.append(round(job.scheduled_s, 6))
        table.sent_s.append(_rounded(job.sent_s))
        table.accepted_s.append(_rounded(job.accepted_s))
        table.started_s.append(_rounded(job.started_s, clock_offset_s))
        table.finished_s.append(_rounded(job.finished_s, clock_offset_s))
        table.ended_s.append(_rounded(job.ended_s))
        table.outcome.append(job.outcome)
        table.status_code.append(job.status_code)
        table.attempts.append(job.attempts)
        table.id.append(job.id)
    return table


def _rounded(at_s: float | None, offset_s: float = 0.0) -> float | None:
    return None if at_s is None else round(at_s - offset_s, 6)
