"""How fast jobs come, how that changes and how unevenly, learnt from nothing but their number.

The rate is fitted over windows of several lengths (`windows.py`), and the forecast is a weighted mean of those fits. At
first the weights follow from how unevenly jobs come (`dispersion.py`): a long window is out of date, a short one shows
chance. From then on each fit gains or loses by how well it has foretold (`track_record.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast.dispersion import Dispersion
from workers.scaler.forecast.track_record import TrackRecord
from workers.scaler.forecast.windows import WINDOWS_S, WindowSums, fit_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.forecast.windows import RateLine, WindowFit

# Length of time whose unevenness matters, as a share of the lead: the blocks of the Allan factor are as long. Judged by
# simulation: `--load burst:0.1,2,300,60`.
# Example: with a lead of 31 s, counts of 15.5 s are compared.
SCALE = 0.5
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
# Share of a fit's score in the track record that counts: less than 1, as its judgements are not independent of each
# other. Judged by simulation: `--load ramping`.
# Example: a score of -6 makes a weight of exp(-3) = 0.05.
RECORD = 0.5
# Jobs by which a count may be wrong because it is a whole number; over the window it is an error of the rate. Design.
# Example: a window of 10 s adds a standard error of 0.025 jobs/s.
_ROUNDING_JOBS = 0.25
# Seconds. Observations less than this apart are merged, to avoid dividing by zero. Design.
# Example: two observations at the same time are one, and jobs of the second count with the next.
_LEAST_S = 1e-6


class Forecast(NamedTuple):
    """The rate in jobs/s now, its change in jobs/s per second, and the standard error of the rate at the lead.

    `window_s` is the mean length of the windows that it rests on, `dispersion` the index of dispersion.
    """

    rate: float
    trend: float
    error: float
    window_s: float
    dispersion: float

    def at(self, after_s: float) -> float:
        """The rate in that many seconds, at least 0."""
        return max(0.0, self.rate + self.trend * after_s)

    def jobs(self, from_s: float, to_s: float) -> float:
        """The number of jobs that come between two times, in seconds from now."""
        return max(0.0, (to_s - from_s) * (self.rate + self.trend * (from_s + to_s) / 2))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What has been learnt of arrivals since `since_s`; times in seconds of any clock that does not go back."""

    since_s: float
    last_s: float  # the last observation
    base: int  # jobs that had come before
    total: int = 0  # jobs that have come since
    busy_observations: int = 0  # observations that found new jobs
    sums: tuple[WindowSums, ...] = (WindowSums(),) * len(WINDOWS_S)
    dispersion: Dispersion = field(default_factory=Dispersion)
    record: TrackRecord = field(default_factory=TrackRecord)

    @classmethod
    def begin(cls, now_s: float, arrived: int, quiet_s: float) -> Arrivals:
        """Returns the state before the first observation. No job is taken to have come in the `quiet_s` before.

        Without that, one job in the first second would be a rate of 1 job/s.
        """
        return cls(now_s - quiet_s, now_s, arrived)

    @property
    def seen_s(self) -> float:
        """The time of observation."""
        return self.last_s - self.since_s

    def observe(self, now_s: float, arrived: int, lead_s: float) -> Arrivals:
        """Returns it with what came since the last observation: `arrived` is the number of all jobs ever."""
        passed_s, jobs = now_s - self.last_s, arrived - self.base - self.total
        if passed_s < _LEAST_S:
            return self
        sums = tuple(
            [one.observe(window_s, passed_s, jobs) for window_s, one in zip(WINDOWS_S, self.sums, strict=True)]
        )
        seen_s, total = now_s - self.since_s, self.total + jobs
        dispersion = self.dispersion.observe(now_s, passed_s, jobs, total / seen_s, seen_s, SCALE * lead_s)
        record = self.record
        if total:
            record = record.observe(now_s, total, lead_s, dispersion.index, fit_windows(seen_s, sums))
        return replace(
            self,
            last_s=now_s,
            total=total,
            busy_observations=self.busy_observations + (jobs > 0),
            sums=sums,
            dispersion=dispersion,
            record=record,
        )

    def forecast(self, lead_s: float) -> Forecast:
        """Returns what is to be expected, above all of the time in `lead_s` seconds."""
        dispersion = self.dispersion.index
        if self.seen_s <= 0 or not self.total:
            return Forecast(0.0, 0.0, 0.0, 0.0, dispersion)
        believed: list[tuple[float, float, RateLine]] = []
        fits = fit_windows(self.seen_s, self.sums)
        best_s = self._best_window_s(fits, lead_s, dispersion)
        for n, fit in enumerate(fits):
            prior = -FAR_OFF * math.log2(fit.window_s / best_s) ** 2
            constant, line = self.record.scores[2 * n : 2 * n + 2]
            believed.append((RECORD * constant + prior, fit.window_s, fit.constant))
            # A line is not extrapolated by more than its own length.
            if min(fit.window_s, self.seen_s) >= lead_s and (drawn := fit.line(lead_s)).scale < math.inf:
                believed.append((RECORD * line + prior - LINE, fit.window_s, drawn))
        # The first job, or batch, says nothing of a rate: only a second one shows how far they are apart.
        return _mean(believed, lead_s, dispersion, 1 - 1 / self.busy_observations)

    def _best_window_s(self, fits: Sequence[WindowFit], lead_s: float, dispersion: float) -> float:
        """The length that is believed most at first: the geometric mean of the lead and of what suits the load."""
        rate = max(self.total / self.seen_s, *[fit.level for fit in fits if fit.window_s >= lead_s], 0.0)
        suited_s = max(math.sqrt(lead_s * dispersion / rate / 2) / WANDER, min(FEWEST_JOBS / rate, lead_s))
        return math.sqrt(lead_s * suited_s)


def _mean(believed: list[tuple[float, float, RateLine]], lead_s: float, dispersion: float, known: float) -> Forecast:
    """Returns the weighted mean of lines, given as (logarithm of the weight, window in seconds, line).

    `known` is the share of the rate that has been confirmed.
    """
    best = max(log_weight for log_weight, _, _ in believed)
    weights = [math.exp(log_weight - best) for log_weight, _, _ in believed]
    total = math.fsum(weights)
    rate = trend = window_s = foretold = square = 0.0
    for weight, (_, length_s, line) in zip(weights, believed, strict=True):
        share = weight / total
        rate += share * line.rate
        trend += share * line.trend
        window_s += share * length_s
        # Rates below 0 count as 0, so that two lines that both foretell no jobs are no disagreement.
        then = max(0.0, line.rate + line.trend * lead_s)
        foretold += share * then
        square += share * then**2
    # Three variances: of the fits themselves, of the fits from each other, and of counts that are whole numbers.
    certain = math.fsum(weight / total * line.scale for weight, (_, _, line) in zip(weights, believed, strict=True))
    apart = max(0.0, square - foretold**2)
    error = math.sqrt(dispersion * max(rate, 0.0) * certain + apart + (_ROUNDING_JOBS / window_s) ** 2)
    return Forecast(known * rate, known * trend, known * error, window_s, dispersion)
