"""A queue in numbers, for users and for the scaler."""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """The queue in numbers. waiting = lag; pending = running + released + ahead; all O(log n) or better to read.

    `ahead` are the jobs that workers hold without running them. `high` and `low` are the waiting jobs of these
    priorities.
    """

    length: int
    waiting: int
    pending: int
    released: int
    deferred: int
    dead: int
    idle_workers: int
    workers: int
    ahead: int = 0
    high: int = 0
    low: int = 0

    @property
    def outstanding(self) -> int:
        """Jobs that have not ended."""
        return self.length + self.deferred


class Demand(NamedTuple):
    """What a scaler has to know, all of one moment: `now_ms` by the server's clock, since the epoch.

    `arrived` counts all jobs since the stream was made. A job that is put back into the stream (a retry, a dead letter)
    counts again; one that was cancelled before a worker had it does not count. `waiting` are the jobs that no worker
    holds. `busy` are the workers that hold some, running or ahead. `decision` is the one last remembered, or empty.
    """

    now_ms: int
    arrived: int
    waiting: int
    running: int
    busy: int
    decision: bytes
