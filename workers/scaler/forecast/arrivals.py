"""How fast jobs come, how that changes and how unevenly, learnt from nothing but their number.

The rate is fitted over windows of several lengths (`fits.py`). Which of them is believed at first follows from how
unevenly jobs come: what is older says little of the time in question, and what is younger is chance. The others gain as
much as they have been right before (`hindsight.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast.dispersion import Unevenness
from workers.scaler.forecast.track_record import Hindsight
from workers.scaler.forecast.windows import WINDOWS_S, Moments, fits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.forecast.windows import Fit, Line

# Of the lead: the length of time whose unevenness matters.
SCALE = 0.5
# A rate is thought to wander by so much of itself in a lead. The best window, neither too noisy nor too old, follows
# from it; but it holds some jobs.
WANDER = 0.13
FEWEST_JOBS = 15.0
# How much less a window is believed at first for being half or twice as long as it should be: a logarithm, which grows
# with the square of the number of doublings. And how much less a line is than a constant.
FAR_OFF = 2.0
LINE = 2.0
# How much a fit's record counts: less than if its judgements were independent of each other.
RECORD = 0.5
# Looks that are closer together are one.
_LEAST_S = 1e-6


class Forecast(NamedTuple):
    """Jobs/s now and their change in each second; `error` is a standard error of the rate at the lead.

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
        """How many come between two times from now."""
        return max(0.0, (to_s - from_s) * (self.rate + self.trend * (from_s + to_s) / 2))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What has been seen since `since_s`; times in seconds of any clock."""

    since_s: float
    last_s: float
    base: int  # jobs that had come before
    total: int = 0  # jobs that have come since
    busy_looks: int = 0  # of these looks found new jobs
    moments: tuple[Moments, ...] = (Moments(),) * len(WINDOWS_S)
    unevenness: Unevenness = field(default_factory=Unevenness)
    hindsight: Hindsight = field(default_factory=Hindsight)

    @classmethod
    def begin(cls, now_s: float, arrived: int, quiet_s: float) -> Arrivals:
        """Nothing is known. It is taken for granted that no job came in the `quiet_s` before.

        So that a first job, or two, do not look like a rate without end.
        """
        return cls(now_s - quiet_s, now_s, arrived)

    @property
    def seen_s(self) -> float:
        """How long it has been looked at."""
        return self.last_s - self.since_s

    def seen(self, now_s: float, arrived: int, lead_s: float) -> Arrivals:
        """With what came since the last look: `arrived` is the number of all jobs ever."""
        passed_s, jobs = now_s - self.last_s, arrived - self.base - self.total
        if passed_s < _LEAST_S:
            return self
        moments = tuple(
            [one.later(window_s, passed_s, jobs) for window_s, one in zip(WINDOWS_S, self.moments, strict=True)]
        )
        seen_s, total = now_s - self.since_s, self.total + jobs
        unevenness = self.unevenness.seen(now_s, passed_s, jobs, total / seen_s, seen_s, SCALE * lead_s)
        hindsight = self.hindsight
        if total:
            fits = fits_of(seen_s, moments)
            hindsight = hindsight.seen(now_s, total, lead_s, unevenness.dispersion, fits)
        return replace(
            self,
            last_s=now_s,
            total=total,
            busy_looks=self.busy_looks + (jobs > 0),
            moments=moments,
            unevenness=unevenness,
            hindsight=hindsight,
        )

    def forecast(self, lead_s: float) -> Forecast:
        """What is to be expected, above all of the time in `lead_s` seconds."""
        dispersion = self.unevenness.dispersion
        if self.seen_s <= 0 or not self.total:
            return Forecast(0.0, 0.0, 0.0, 0.0, dispersion)
        believed: list[tuple[float, float, Line]] = []
        fits = fits_of(self.seen_s, self.moments)
        best_s = self._window_s(fits, lead_s, dispersion)
        for n, fit in enumerate(fits):
            prior = -FAR_OFF * math.log2(fit.window_s / best_s) ** 2
            constant, line = self.hindsight.scores[2 * n : 2 * n + 2]
            believed.append((RECORD * constant + prior, fit.window_s, fit.constant))
            # A line is not drawn out by more than it is long.
            if min(fit.window_s, self.seen_s) >= lead_s and (drawn := fit.line(lead_s)).scale < math.inf:
                believed.append((RECORD * line + prior - LINE, fit.window_s, drawn))
        # One job, or a batch, is no rate yet: it takes another to see how far they are apart.
        return _joined(believed, lead_s, dispersion, 1 - 1 / self.busy_looks)

    def _window_s(self, fits: Sequence[Fit], lead_s: float, dispersion: float) -> float:
        """The window that is believed first: halfway between the lead and the one that suits rate and dispersion."""
        rate = max(self.total / self.seen_s, *[fit.level for fit in fits if fit.window_s >= lead_s], 0.0)
        suited_s = max(math.sqrt(lead_s * dispersion / rate / 2) / WANDER, min(FEWEST_JOBS / rate, lead_s))
        return math.sqrt(lead_s * suited_s)


def _joined(believed: list[tuple[float, float, Line]], lead_s: float, dispersion: float, known: float) -> Forecast:
    """Their mean, by the logarithms of their weights; `known` is the share of it that is confirmed."""
    best = max(log_weight for log_weight, _, _ in believed)
    weights = [math.exp(log_weight - best) for log_weight, _, _ in believed]
    total = math.fsum(weights)
    rate = trend = window_s = told = square = 0.0
    for weight, (_, length_s, line) in zip(weights, believed, strict=True):
        share = weight / total
        rate += share * line.rate
        trend += share * line.trend
        window_s += share * length_s
        # No rate is below 0, and two that foretell less do not lie apart.
        then = max(0.0, line.rate + line.trend * lead_s)
        told += share * then
        square += share * then**2
    # How certain the fits are by themselves, how far they lie apart, and that a count is a whole number.
    certain = math.fsum(weight / total * line.scale for weight, (_, _, line) in zip(weights, believed, strict=True))
    apart = max(0.0, square - told**2)
    error = math.sqrt(dispersion * max(rate, 0.0) * certain + apart + (0.25 / window_s) ** 2)
    return Forecast(known * rate, known * trend, known * error, window_s, dispersion)
