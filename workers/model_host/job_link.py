"""The job at hand as the model gets it, and its way to the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from workers.job import Job
from workers.model_host.frames import EVENTS

if TYPE_CHECKING:
    from workers.model_host.connection import Connection

_KINDS = {name: kind for kind, name in EVENTS.items()}
PARTIAL = "partial"


class ConnectionLink:
    """A job's way over the connection, for as long as the job with this `number` is at hand."""

    def __init__(self, connection: Connection, number: int, may_tell: bool) -> None:
        self._connection = connection
        self._number = number
        self._may_tell = may_tell

    def tell(self, kind: str, value: bytes) -> None:
        """Sends an event (`workers.job.JobLink`)."""
        if self._may_tell:
            self._connection.tell(self._number, _KINDS[kind], value)

    def is_cancelled(self) -> bool:
        """Whether the job is to stop."""
        return self._connection.is_cancelled(self._number)

    def tell_partial(self, value: bytes) -> None:
        """Sends what a generator has yielded, as JSON."""
        self.tell(PARTIAL, value)


class LinkedJob(Job):
    """A job with its `link`."""

    def __init__(self, line: bytes, connection: Connection, number: int) -> None:
        job_id, attempt, deadline_s, may_tell = orjson.loads(line)
        self.link = ConnectionLink(connection, number, may_tell)
        super().__init__(self.link, job_id, attempt, deadline_s)
