"""The ends of jobs that this process has heard of: how many, and the last few."""

from __future__ import annotations

_KEPT = 32


class RecentEnds:
    """Counts ends and remembers the last 32 ids. It is told of each end, so it does hardly more than nothing."""

    __slots__ = ("_count", "_last")

    def __init__(self) -> None:
        self._count = 0
        self._last = [""] * _KEPT

    def heard(self, job_id: str) -> None:
        """A job has ended."""
        self._last[self._count % _KEPT] = job_id
        self._count += 1

    def taken(self) -> tuple[int, list[str]]:
        """How many jobs have ended since the last call, and the ids of the last ones of these; starts anew."""
        count, ids = self._count, self._last[: min(self._count, _KEPT)]
        self._count = 0
        return count, ids
