"""What was seen of a duration (service, start-up): the last observations, and what to expect of one that goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT = 256
# From a microsecond to four months; what is said to be shorter or longer is a mistake.
_LEAST_S, _MOST_S = 1e-6, 1e7


@dataclass(frozen=True, slots=True)
class Durations:
    """The last `KEPT` observations, in seconds, and a first guess that counts for `prior_weight` of them."""

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
        """With more observations; those that no duration can have are left out."""
        new = [value for value in observed_s if _LEAST_S <= value <= _MOST_S]
        if not new:
            return self
        seen = (*self.seen_s, *new)[-KEPT:]
        # The guess fades: it is worth nothing once as many observations are kept as can be.
        weight = self.prior_weight * (1 - len(seen) / KEPT)
        mean_s = (weight * self.prior_s + math.fsum(seen)) / (weight + len(seen))
        own_mean_s = math.fsum(seen) / len(seen)
        variance = math.fsum((value - own_mean_s) ** 2 for value in seen) / len(seen)
        return Durations(
            self.prior_s, self.prior_weight, seen, mean_s, variance / own_mean_s**2, tuple(sorted(seen))
        )  # fmt: skip

    def quantile_s(self, share: float) -> float:
        """The least observation that at least `share` of them do not exceed; the prior where there is none."""
        if not self._sorted_s:
            return self.prior_s
        return self._sorted_s[min(len(self._sorted_s) - 1, math.ceil(share * len(self._sorted_s)) - 1)]

    def left_s(self, age_s: float, share: float) -> float:
        """How much longer one takes that is `age_s` old: the same quantile, of those that took longer than that.

        Where none did, it is expected to take half its age again: what has been seen says nothing of it any more.
        """
        longer = [value for value in self._sorted_s or (self.prior_s,) if value > age_s]
        if not longer:
            return age_s / 2
        return longer[math.ceil(share * len(longer)) - 1] - age_s
