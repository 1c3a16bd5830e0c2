"""What has been observed of a duration (service, start-up), and what is to be expected of one that goes on."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Number of observations that are kept, the last ones. Design: enough for the 80th percentile of service times, and soon
# replaced if they change.
# Example: at 1 job/s the service times of the last 4 minutes count.
KEPT = 256
# Shortest and longest duration in seconds that is believed: from a microsecond to four months. Design.
# Example: a start-up of -3 s, as after a clock was set, is left out.
_LEAST_S, _MOST_S = 1e-6, 1e7


@dataclass(frozen=True, slots=True)
class Durations:
    """The last `KEPT` observations in seconds, and a first guess that counts for `prior_weight` of them."""

    prior_s: float
    prior_weight: float = 1.0
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
        seen = (*self.seen_s, *new)[-KEPT:]
        # The guess fades: it is worth nothing once `KEPT` observations are there.
        # Example: a guess of 30 s and one observation of 10 s make a mean of 20 s; with nine more of 10 s it is 11.8 s.
        weight = self.prior_weight * (1 - len(seen) / KEPT)
        mean_s = (weight * self.prior_s + math.fsum(seen)) / (weight + len(seen))
        own_mean_s = math.fsum(seen) / len(seen)
        variance = math.fsum((value - own_mean_s) ** 2 for value in seen) / len(seen)
        return Durations(
            self.prior_s, self.prior_weight, seen, mean_s, variance / own_mean_s**2, tuple(sorted(seen))
        )  # fmt: skip

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
