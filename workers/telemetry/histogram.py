"""A histogram of seconds, for Prometheus, that costs little to add to."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Histogram:
    """A worker may end, and a gateway answer, tens of thousands of jobs a second."""

    __slots__ = ("_bounds_s", "_counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.sum_s = 0.0
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)

    def add(self, seconds: float) -> None:
        """Counts one; less than 0 (clocks differ) counts as 0."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """What Prometheus is told: how many there were up to each bound."""
        total, buckets = 0, []
        for bound, count in zip([*(f"{bound_s:g}" for bound_s in self._bounds_s), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets
