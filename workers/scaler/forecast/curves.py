"""Windows of several lengths, two experts each: the rate stays as it was, or it goes on changing as it did.

A long window is out of date, a short one shows chance. Which is best follows at first from how unevenly jobs come, and
then from how well each has foretold (`track_record.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from workers.scaler.forecast.atoms import Atom
from workers.scaler.forecast.windows import WINDOWS_S, WindowFit, WindowSums, fit_windows

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
# Logarithm of how much less a line is believed at first than a constant. Judged by simulation: `--load ramping`.
# Example: a line weighs exp(-2) = 0.14 of the constant of its window.
LINE = 2.0
# Jobs by which a count may be wrong because it is a whole number; over the window it is an error of the rate. Design.
# Example: a window of 10 s adds a standard error of 0.025 jobs/s.
_ROUNDING_JOBS = 0.25
# Least index of dispersion: what follows from it must not vanish. Design.
# Example: a perfect clock's index counts as 0.005, not 0.
_LEAST_DISPERSION = 0.005
# Seconds. Observations less than this apart are merged, to avoid dividing by zero. Design.
# Example: two observations at the same time are one, and jobs of the second count with the next.
_LEAST_S = 1e-6
EXPERTS = 2 * len(WINDOWS_S)


class Fitted(NamedTuple):
    """The experts at one time: a constant and a line for each window, or nothing at all.

    `priors` are the logarithms of how much each is believed at first; -inf: not at all. `known` is the share of its
    rate that is believed.
    """

    priors: tuple[float, ...]
    fits: tuple[tuple[WindowFit, bool], ...] = ()  # one for each expert, and whether that draws out its line
    dispersion: float = 1.0
    known: float = 0.0

    def atom(self, expert: int, ahead_s: float, weight: float = 1.0) -> Atom:
        """Returns what that one says of the rate in `ahead_s` seconds."""
        if not self.fits:
            return Atom(weight, 0.0, 0.0)
        fit, drawn = self.fits[expert]
        rate, trend, scale = fit.line(ahead_s) if drawn else fit.constant
        then = max(0.0, rate + trend * ahead_s)
        variance = self.dispersion * max(fit.level, then, 0.0) * max(0.0, scale)
        error = math.sqrt(variance + (_ROUNDING_JOBS / fit.window_s) ** 2)
        return Atom(weight, self.known * then, self.known * error)


@dataclass(frozen=True, slots=True)
class Curves:
    """What is kept of arrivals since `since_s`; times in seconds of any clock that does not go back."""

    since_s: float
    last_s: float  # the last observation
    jobs: int = 0  # since the beginning
    busy: int = 0  # observations that found new jobs
    fresh: int = 0  # jobs of observations too close to the last one
    sums: tuple[WindowSums, ...] = (WindowSums(),) * len(WINDOWS_S)

    def observe(self, now_s: float, jobs: int) -> Curves:
        """Returns it with the jobs that came since the last observation."""
        passed_s, jobs = now_s - self.last_s, self.fresh + jobs
        if passed_s < _LEAST_S:
            return replace(self, fresh=jobs)
        sums = [one.observe(window_s, passed_s, jobs) for window_s, one in zip(WINDOWS_S, self.sums, strict=True)]
        return Curves(self.since_s, now_s, self.jobs + jobs, self.busy + (jobs > 0), 0, tuple(sums))

    def fitted(self, lead_s: float, dispersion: float) -> Fitted:
        """Returns the experts as they are now."""
        seen_s, dispersion = self.last_s - self.since_s, max(dispersion, _LEAST_DISPERSION)
        if seen_s < _LEAST_S or not self.jobs:
            return Fitted((0.0,) * EXPERTS)
        fits = fit_windows(seen_s, self.sums)
        rate = max(self.jobs / seen_s, *[fit.level for fit in fits if fit.window_s >= lead_s], 0.0)
        suited_s = max(math.sqrt(lead_s * dispersion / rate / 2) / WANDER, min(FEWEST_JOBS / rate, lead_s))
        best_s = math.sqrt(lead_s * suited_s)
        priors, experts = [], []
        for fit in fits:
            prior = -FAR_OFF * math.log2(fit.window_s / best_s) ** 2
            # A line is not extrapolated by more than its own length.
            drawn = min(fit.window_s, seen_s) >= lead_s and fit.has_line
            priors += [prior, prior - LINE if drawn else -math.inf]
            experts += [(fit, False), (fit, drawn)]
        # The first job, or batch, says nothing of a rate: only a second one shows how far they are apart.
        return Fitted(tuple(priors), tuple(experts), dispersion, 1 - 1 / self.busy)
