"""Which of the jobs that wait must be begun by when: they are claimed in the order in which they came."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

_KEPT = 64


@dataclass(frozen=True, slots=True)
class Recent:
    """Times in seconds, rising, and how many jobs had come by then; at most about `_KEPT` of them."""

    looks: tuple[tuple[float, int], ...] = ()

    def seen(self, now_s: float, arrived: int, span_s: float) -> Recent:
        """With one more look; those of longer than `span_s` ago are forgotten."""
        looks = self.looks
        if len(looks) > 1 and now_s - looks[-2][0] < span_s / _KEPT:
            looks = looks[:-1]
        old = bisect_left(looks, now_s - span_s, key=lambda look: look[0])
        return Recent((*looks[max(0, old - 1) :], (now_s, arrived)))

    def by(self, at_s: float) -> float:
        """How many jobs had come by then; between two looks evenly, before the first and after the last as there."""
        n = bisect_left(self.looks, at_s, key=lambda look: look[0])
        if n == len(self.looks):
            return float(self.looks[-1][1]) if self.looks else 0.0
        if not n:
            return float(self.looks[0][1])
        (from_s, before), (to_s, after) = self.looks[n - 1], self.looks[n]
        return before + (after - before) * (at_s - from_s) / (to_s - from_s)

    def last(self, span_s: float) -> float:
        """How many came in the `span_s` before the last look."""
        return self.looks[-1][1] - self.by(self.looks[-1][0] - span_s) if self.looks else 0.0

    def due(self, waiting: int, at_s: float, objective_s: float) -> float:
        """How many of the jobs that wait have waited for the objective by `at_s`."""
        if not self.looks:
            return float(waiting)
        fresh = self.looks[-1][1] - self.by(at_s - objective_s)
        return max(0.0, waiting - fresh)
