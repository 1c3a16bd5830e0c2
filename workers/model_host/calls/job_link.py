"""The way of the job at hand to the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from workers.job import JobTerms
from workers.model_host.protocol.frames import EVENTS

if TYPE_CHECKING:
    from workers.model_host.protocol.connection import Connection

_KINDS = {name: kind for kind, name in EVENTS.items()}
PARTIAL = "partial"


class ConnectionLink:
    """A job's way over the connection, for as long as the job with this `number` is at hand.

    `line` is what `JobAtHand.packed` has made. It is read when the model asks for that: most do not.
    """

    def __init__(self, connection: Connection, number: int, line: bytes) -> None:
        self._connection = connection
        self._number = number
        self._line = line
        self._terms: JobTerms | None = None

    def terms(self) -> JobTerms:
        """What the worker has said of the job."""
        if self._terms is None:
            self._terms = JobTerms(*orjson.loads(self._line))
        return self._terms

    def tell(self, kind: str, value: bytes) -> None:
        """Sends an event (`workers.job.JobLink`)."""
        if self.terms().is_heard:
            self._connection.tell(self._number, _KINDS[kind], value)

    def is_cancelled(self) -> bool:
        """Whether the job is to stop."""
        return self._connection.is_cancelled(self._number)

    def tell_partial(self, value: bytes) -> None:
        """Sends what a generator has yielded, as JSON."""
        self.tell(PARTIAL, value)


class BatchedLink:
    """What one of several jobs in one call has: its files. Nobody hears it, and no cancel reaches it."""

    def __init__(self, job_id: str, attempt: int, folder: str, traceparent: str) -> None:
        self._terms = JobTerms(job_id, attempt, None, is_heard=False, folder=folder, traceparent=traceparent)

    def terms(self) -> JobTerms:
        """Which job it is, and where its files are."""
        return self._terms

    def tell(self, _kind: str, _value: bytes) -> None:
        """Without effect."""

    def is_cancelled(self) -> bool:
        """Never."""
        return False


class SharedLink(ConnectionLink):
    """The way of one of several jobs that are at hand at the same time. The loop that runs them hears of its cancel."""

    is_stopped = False

    def is_cancelled(self) -> bool:
        """Whether the job is to stop."""
        return self.is_stopped
