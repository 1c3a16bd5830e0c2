"""When the last jobs came, and so how long those that wait have waited: jobs are claimed in the order of arrival."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

# Number of observations that are kept for the span that is asked for. Design: two of them are merged if they are closer
# together than this share of the span.
# Example: a span of 64 s has an observation each second; for one of 10 minutes they are merged to one each 9 s.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class ArrivalHistory:
    """Pairs of a time in seconds and of how many jobs had come by then, oldest first; about `_KEPT` at most."""

    counts: tuple[tuple[float, int], ...] = ()

    def observe(self, now_s: float, arrived: int, span_s: float) -> ArrivalHistory:
        """Returns it with one more observation; those from more than `span_s` ago are forgotten."""
        counts = self.counts
        if len(counts) > 1 and now_s - counts[-2][0] < span_s / _KEPT:
            counts = counts[:-1]
        old = bisect_left(counts, now_s - span_s, key=lambda count: count[0])
        return ArrivalHistory((*counts[max(0, old - 1) :], (now_s, arrived)))

    def arrived_by(self, at_s: float) -> float:
        """Returns how many jobs had come by then.

        Between two observations they are taken to have come evenly; before the first, and after the last, none.
        """
        n = bisect_left(self.counts, at_s, key=lambda count: count[0])
        if n == len(self.counts):
            return float(self.counts[-1][1]) if self.counts else 0.0
        if not n:
            return float(self.counts[0][1])
        (from_s, before), (to_s, after) = self.counts[n - 1], self.counts[n]
        return before + (after - before) * (at_s - from_s) / (to_s - from_s)

    def last(self, span_s: float) -> float:
        """Returns how many jobs came in the `span_s` before the last observation."""
        return self.counts[-1][1] - self.arrived_by(self.counts[-1][0] - span_s) if self.counts else 0.0

    def due(self, waiting: int, at_s: float, objective_s: float) -> float:
        """Returns how many of the jobs that wait now will have waited for the objective by `at_s`.

        Example: 3 jobs wait, and 2 came after the time that is the objective before `at_s`: 1 is due.
        """
        if not self.counts:
            return float(waiting)
        fresh = self.counts[-1][1] - self.arrived_by(at_s - objective_s)
        return max(0.0, waiting - fresh)
