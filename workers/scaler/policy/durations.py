"""What has been observed of a duration (service, start-up), and what is to be expected of one that goes on."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Number of observations that are kept, the last ones. Design: enough for the 80th percentile of service times, and soon
# replaced if they change.
# Example: at 1 job/s the service times of the last 4 minutes count.
KEPT = 256
# The last LATEST observations are another kind if their mean is further from that of those before than ERRORS standard
# errors and a share of LEAST_CHANGE: those before are forgotten then, as after a new release of a model. Judged by
# simulation: jobs that take three times as long from one moment on.
# Example: of 200 jobs of 5 s +- 1 s, the last 8 took 7 s. The standard error is 1 / sqrt(8) = 0.35 s, and 2 s are more
# than 4 * 0.35 + 0.1 * 5 = 1.9 s: only the 8 count from now on.
LATEST, ERRORS, LEAST_CHANGE = 8, 4.0, 0.1
# Shortest and longest duration in seconds that is believed: from a microsecond to four months. Design.
# Example: a start-up of -3 s, as after a clock was set, is left out.
_LEAST_S, _MOST_S = 1e-6, 1e7


@dataclass(frozen=True, slots=True)
class Durations:
    """The last `KEPT` observations in seconds, and a first guess that counts for one of them."""

    prior_s: float
    seen_s: tuple[float, ...] = ()
    mean_s: float = 0.0
    variation: float = 0.0  # squared coefficient of variation: variance over squared mean; the prior's is 0
    _sorted_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.mean_s:
            object.__setattr__(self, "mean_s", self.prior_s)

    def add(self, observed_s: Iterable[float]) -> Durations:
        """Returns them with more observations; those that no duration can have are left out."""
        new = [value for value in observed_s if _LEAST_S <= value <= _MOST_S]
        if not new:
            return self
        seen = self.seen_s
        for value in new[-KEPT:]:
            seen = _since_a_change((*seen, value)[-KEPT:])
        # The guess fades: it is worth nothing once `KEPT` observations are there.
        # Example: a guess of 30 s and one observation of 10 s make a mean of 20 s; with nine more of 10 s it is 11.8 s.
        weight = 1 - len(seen) / KEPT
        mean_s = (weight * self.prior_s + math.fsum(seen)) / (weight + len(seen))
        own_mean_s = math.fsum(seen) / len(seen)
        variance = math.fsum((value - own_mean_s) ** 2 for value in seen) / len(seen)
        return Durations(self.prior_s, seen, mean_s, variance / own_mean_s**2, tuple(sorted(seen)))

    def quantile_s(self, share: float) -> float:
        """Returns the least observation that at least `share` of them do not exceed; the guess if there is none."""
        if not self._sorted_s:
            return self.prior_s
        return self._sorted_s[min(len(self._sorted_s) - 1, math.ceil(share * len(self._sorted_s)) - 1)]

    def left_s(self, age_s: float, share: float) -> float:
        """Returns how much longer one takes that is `age_s` old: the quantile of those that took longer than that.

        If none did, the observations say nothing of it any more, and half its age is expected.
        Example: of 28, 30 and 32 s the 80th percentile is 32 s, so at an age of 20 s 12 s are left; at 40 s it is 20 s.
        """
        known = self._sorted_s or (self.prior_s,)
        shorter = bisect_right(known, age_s)
        if shorter == len(known):
            return age_s / 2
        return known[shorter + math.ceil(share * (len(known) - shorter)) - 1] - age_s


def _since_a_change(seen_s: tuple[float, ...]) -> tuple[float, ...]:
    """Returns the observations without those that the last ones show to be out of date."""
    older, latest = seen_s[:-LATEST], seen_s[-LATEST:]
    if len(older) < LATEST:
        return seen_s
    (before_s, spread), (now_s, spread_now) = _moments(older), _moments(latest)
    error_s = math.sqrt(max(spread, spread_now) / LATEST)
    return latest if abs(now_s - before_s) > ERRORS * error_s + LEAST_CHANGE * before_s else seen_s


def _moments(values: tuple[float, ...]) -> tuple[float, float]:
    """Returns mean and variance."""
    mean = sum(values) / len(values)
    return mean, max(0.0, sum(map(mul, values, values)) / len(values) - mean * mean)
