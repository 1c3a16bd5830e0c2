"""What became of every job. Each ends with exactly one outcome.

    finished     its data was fetched, and carries its own id and input
    accepted     its push was acknowledged, and nobody waits for more (--push-only)
    failed       the service says so; or its data carries another id or input (counted in `strange`)
    cancelled    the service says so
    given up     its user stopped asking: after 60 polls, or because the run was interrupted
    refused      its push was answered with another status than 202, or (no status code) never answered
    lost         acknowledged, and then unknown (404), or not ended in time (counted in `overdue`)
    duplicated   its result changed between two fetches, or another user was given the same id

A push without an answer is repeated with its Idempotency-Key, so that a user never gets two jobs. A push that was
refused with a 5xx may have been accepted all the same.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.common.runs import JobColumns

if TYPE_CHECKING:
    from collections.abc import Iterable


class RunClock:
    """Calling it gives the seconds since the run's begin, which is when it was made or last restarted."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """The run begins now; `started` says when that is."""
        self._zero_s = time.perf_counter()
        self.started = datetime.now(UTC)

    def __call__(self) -> float:
        return time.perf_counter() - self._zero_s

    def read(self, text: object) -> float | None:
        """An RFC 3339 time of the service in seconds of this clock; None if it is no time."""
        try:
            return datetime.fromisoformat(str(text)).timestamp() - self.started.timestamp()
        except ValueError:
            return None


@dataclass(slots=True)
class UserJob:
    """One user's job. Times are seconds since the run's begin; started and finished are by the service's clock."""

    number: int
    scheduled_s: float
    sent_s: float | None = None
    accepted_s: float | None = None
    started_s: float | None = None
    finished_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    status_code: int | None = None
    attempts: int | None = None
    id: str | None = None
    last: str = ""  # the last status that the service gave
    digest: bytes = b""  # of its data


def digest(body: bytes) -> bytes:
    """A hash by which a body is recognized."""
    return hashlib.blake2b(body, digest_size=16).digest()


class Account:
    """All jobs whose time has come, and counts of them."""

    def __init__(self) -> None:
        self.jobs: list[UserJob] = []
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[int | None] = Counter()  # by status code
        self.troubles: Counter[str] = Counter()  # requests that were made again, by what was answered
        self.overdue: Counter[str] = Counter()  # by the last status known
        self.strange = 0
        self.sent = 0
        self.accepted = 0
        self.unchecked = 0  # results that are to be fetched again

    @property
    def in_flight(self) -> int:
        """Jobs without an outcome so far."""
        return len(self.jobs) - self.outcomes.total()

    def end(self, job: UserJob, outcome: str, at_s: float | None) -> None:
        """Gives a job its outcome; `at_s` is when its user knew, None if never."""
        job.outcome = outcome
        job.ended_s = at_s
        self.outcomes[outcome] += 1
        if outcome == "refused":
            self.refusals[job.status_code] += 1

    def change(self, job: UserJob, outcome: str) -> None:
        """Replaces a job's outcome, after a second look at its result."""
        self.outcomes[job.outcome] -= 1
        self.outcomes[outcome] += 1
        job.outcome = outcome

    @property
    def is_clean(self) -> bool:
        """Nothing was lost or duplicated, and no result was another's."""
        return not (self.strange or self.outcomes["lost"] or self.outcomes["duplicated"])


def columns(jobs: Iterable[UserJob]) -> JobColumns:
    """The jobs for the run's file, in the order of their scheduled times, to the microsecond."""
    ordered = sorted(jobs, key=lambda job: job.scheduled_s)
    return JobColumns(
        **{field.name: [_rounded(getattr(job, field.name)) for job in ordered] for field in fields(JobColumns)}
    )


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
