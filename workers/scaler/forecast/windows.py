"""Windows of several lengths, each an expert: the rate stays as it was.

A window of length w weighs a job that came s seconds ago with exp(-s / w). The sum of the weights over their integral
is the mean rate of its time. A long window is out of date, a short one shows chance. Which is best shows by how well
each has foretold (`track_record.py`).

Example: 40 jobs came evenly in the last 20 s, and none before. A window of 16 s says 1.4 jobs/s, one of 64 s 0.5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import NO_JOBS, Atom
from workers.scaler.forecast.regimes import LEAST_JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

# Lengths of the windows in seconds. Design: each is twice the one before, so that between 4 s and 17 min no length is
# further than a factor of 1.4 from one that there is.
# Example: the best length for a load is 45 s; there are 32 s and 64 s.
WINDOWS_S = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
# Logarithm of how much less a window is believed at first for being half or twice the best length, which is a lead, or
# as long as LEAST_JOBS take if that is longer; it grows with the square of the number of doublings. Judged by
# simulation: `--load ramping`.
# Example: 1 job/s, lead 32 s: a window of 64 s weighs exp(-2) = 0.14 of that of 32 s, and one of 128 s exp(-8) =
# 0.0003. At a job a minute 128 s are the best.
FAR_OFF = 2.0
# Jobs that a window is taken to have at least when the phase of a clock is reckoned. Design: the exponential is finite.
# Example: a clock of one job an hour has no phase in a window of 1024 s.
_FEWEST_IN_WINDOW = 0.2
# Shortest time in seconds that is fitted. Design: to avoid dividing by zero.
# Example: after 1 ms nothing is foretold.
_LEAST_S = 0.01
EXPERTS = len(WINDOWS_S)


def observe(weights: Sequence[float], passed_s: float, jobs: int) -> tuple[float, ...]:
    """Returns the sums of the windows' weights `passed_s` later. `jobs` came meanwhile: evenly, for all we know."""
    return tuple(
        [
            math.exp(-passed_s / window_s) * weight + jobs * math.exp(-passed_s / 2 / window_s)
            for window_s, weight in zip(WINDOWS_S, weights, strict=True)
        ]
    )


def foretold(
    weights: Sequence[float], seen_s: float, quiet_s: float, jobs: int, lead_s: float, dispersion: float
) -> tuple[list[float], list[Sequence[Atom]]]:
    """Returns the logarithm of how much each window is believed at first, and what it says of the rate to come.

    The sums are those that `observe` made of `seen_s` seconds with `jobs`, of which the last came `quiet_s` ago.
    """
    if seen_s < _LEAST_S or not jobs:
        return [0.0] * EXPERTS, [(NO_JOBS,)] * EXPERTS
    even, fastest = 1 - min(1.0, dispersion), jobs / seen_s
    said: list[Sequence[Atom]] = []
    for window_s, weight in zip(WINDOWS_S, weights, strict=True):
        integral_s = _integral(window_s, seen_s)
        rate = weight / integral_s * _phase(weight, quiet_s / window_s) ** even
        # Squared weights are those of a window half as long.
        said.append((Atom(1.0, rate, math.sqrt(dispersion * rate * _integral(window_s / 2, seen_s)) / integral_s),))
        if window_s >= lead_s:
            fastest = max(fastest, rate)
    best_s = max(lead_s, LEAST_JOBS / fastest)
    return [-FAR_OFF * math.log2(window_s / best_s) ** 2 for window_s in WINDOWS_S], said


def _integral(window_s: float, seen_s: float) -> float:
    """Returns that of the weights of a window over the time that was observed, in seconds."""
    return -window_s * math.expm1(-seen_s / window_s)


def _phase(weight: float, quiet: float) -> float:
    """Returns by how much a clock's rate is more than it seems: with each job too high, and too low before the next.

    `quiet` is the time since the last job, in windows. Example: a job each 6 s, and a window of 32 s. With a job the
    sum of the weights is 32 / 6 + 0.5, and before the next one 32 / 6 - 0.5: 9 % too much and too little.
    """
    gap = 1 / max(weight, _FEWEST_IN_WINDOW)
    return -math.expm1(-gap) / gap * math.exp(min(quiet, gap))
