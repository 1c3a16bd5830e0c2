"""How fast jobs come, how that changes and how unevenly, learnt from nothing but their number.

The rate is fitted over windows of several lengths (`fits.py`). A fit counts if no shorter window contradicts it
(Lepskii, "On a problem of adaptive estimation in Gaussian white noise", 1991), and then as much as it is certain and
has been right before (`hindsight.py`). So a long memory is used while the rate holds, and dropped when it has changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from workers.scaler.fits import WINDOWS_S, Line, Moments, fits_of
from workers.scaler.hindsight import Hindsight
from workers.scaler.unevenness import Unevenness

# Of the lead: the length of time whose unevenness matters.
SCALE = 0.5
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
            self, last_s=now_s, total=total, moments=moments, unevenness=unevenness, hindsight=hindsight
        )  # fmt: skip

    def forecast(self, lead_s: float) -> Forecast:
        """What is to be expected, above all of the time in `lead_s` seconds."""
        dispersion = self.unevenness.dispersion
        if self.seen_s <= 0 or not self.total:
            return Forecast(0.0, 0.0, 0.0, 0.0, dispersion)
        fits = fits_of(self.seen_s, self.moments)
        believed: list[tuple[float, float, Line]] = []
        for n, fit in enumerate(fits):
            lines = [(fit.constant, self.hindsight.scores[2 * n])]
            # A line is not drawn out by more than it is long.
            if min(fit.window_s, self.seen_s) >= lead_s:
                lines.append((fit.line(lead_s), self.hindsight.scores[2 * n + 1]))
            for line, score in lines:
                if line.scale < math.inf and not any(short.contradicts(line, dispersion) for short in fits[:n]):
                    believed.append((score - math.log(line.scale), fit.window_s, line))
        return _joined(believed, lead_s, dispersion)


def _joined(believed: list[tuple[float, float, Line]], lead_s: float, dispersion: float) -> Forecast:
    """Their mean, by the logarithms of their weights. The shortest window's constant is always one of them."""
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
    return Forecast(rate, trend, error, window_s, dispersion)
