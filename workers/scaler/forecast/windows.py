"""Windows of several lengths, each an expert: the rate stays as it was.

A window of length w weighs a job that came s seconds ago with exp(-s / w). The sum of the weights over their integral
is the mean rate of its time. A long window is out of date, a short one shows chance. Which is best follows at first
from how unevenly jobs come, and then from how well each has foretold (`track_record.py`).

Example: 40 jobs came evenly in the last 20 s, and none before. A window of 16 s says 1.4 jobs/s, one of 64 s 0.5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import NO_JOBS, Atom

if TYPE_CHECKING:
    from collections.abc import Sequence

# Lengths of the windows in seconds. Design: each is twice the one before, so that between 4 s and 17 min no length is
# further than a factor of 1.4 from one that there is.
# Example: the best length for a load is 45 s; there are 32 s and 64 s.
WINDOWS_S = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
# Share of itself by which a rate is thought to wander within a lead. The less it wanders the longer is the best window:
# sqrt(lead * dispersion / rate / 2) / WANDER. Judged by simulation: `--load ramping constant:0.8`.
# Example: 1 job/s of a Poisson process, lead 31 s: sqrt(31 * 1 / 1 / 2) / 0.13 = 30 s.
WANDER = 0.13
# Jobs that the best window should have, as long as it need not be longer than the lead for it. Judged by simulation:
# `--load step:0.2,2@600,0.2@1200 --process deterministic`.
# Example: at 1 job/s it is at least 15 s; at 0.1 jobs/s with a lead of 31 s it is 31 s, not 150 s.
FEWEST_JOBS = 15.0
# Logarithm of how much less a window is believed at first for being half or twice the best length; it grows with the
# square of the number of doublings. Judged by simulation: `--load ramping`.
# Example: if 32 s are the best, 64 s weigh exp(-2) = 0.14 of it, and 128 s exp(-8) = 0.0003.
FAR_OFF = 2.0
# Share of the rate that is not believed after the first job, or batch; after n it is 1/n of that. It says nothing of a
# rate: only a second one shows how far they are apart. Judged by simulation: a job a minute, `--load spike`.
# Example: a job 10 s ago is half a job in 10 s; two jobs in 20 s are 0.75 * 2 / 20 s.
UNSURE = 0.5
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
    weights: Sequence[float], seen_s: float, quiet_s: float, jobs: int, busy: int, lead_s: float, dispersion: float
) -> tuple[list[float], list[Atom]]:
    """Returns the logarithm of how much each window is believed at first, and what it says of the rate to come.

    The sums are those that `observe` made of `seen_s` seconds with `jobs`, in `busy` observations. The last of the jobs
    came `quiet_s` ago.
    """
    if seen_s < _LEAST_S or not jobs:
        return [0.0] * EXPERTS, [NO_JOBS] * EXPERTS
    even, known, rate = 1 - min(1.0, dispersion), 1 - UNSURE / busy, jobs / seen_s
    said = []
    for window_s, weight in zip(WINDOWS_S, weights, strict=True):
        integral_s = _integral(window_s, seen_s)
        level = weight / integral_s * _phase(weight, quiet_s / window_s) ** even
        # Squared weights are those of a window half as long.
        spread = math.sqrt(dispersion * level * _integral(window_s / 2, seen_s)) / integral_s
        said.append(Atom(1.0, known * level, known * spread))
        if window_s >= lead_s:
            rate = max(rate, level)
    suited_s = max(math.sqrt(lead_s * dispersion / rate / 2) / WANDER, min(FEWEST_JOBS / rate, lead_s))
    best_s = math.sqrt(lead_s * suited_s)
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
