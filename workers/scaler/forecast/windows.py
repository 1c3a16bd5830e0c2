"""Rates fitted to one window's jobs, as a constant and as a straight line, and how far they can be trusted.

A window weighs a job that came s seconds ago with exp(-s / length). Of its jobs two numbers are kept: the sum of their
weights, and of their weighted ages. With the integrals of the weights over the time that has been seen they give the
weighted least-squares fits of a constant and of a line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOWS_S = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_SINGULAR = 1e-9


class Moments(NamedTuple):
    """Of one window: the sum of its jobs' weights, and of their weighted ages (in seconds)."""

    weight: float = 0.0
    age_s: float = 0.0

    def later(self, window_s: float, passed_s: float, jobs: int) -> Moments:
        """After some time, in which so many jobs came, evenly for all that is known."""
        decay = math.exp(-passed_s / window_s)
        weight, age_s = decay * self.weight, decay * (self.age_s + passed_s * self.weight)
        if jobs:
            fresh = jobs * math.exp(-passed_s / 2 / window_s)
            weight, age_s = weight + fresh, age_s + fresh * passed_s / 2
        return Moments(weight, age_s)


class Line(NamedTuple):
    """A rate in jobs/s now and its change in each second.

    `scale` times the dispersion and the rate is the variance of the rate that it foretells.
    """

    rate: float
    trend: float
    scale: float


class Fit(NamedTuple):
    """One window's fits. Integrals are of its weights times 1, s and s^2; `squares`, of the squared weights."""

    window_s: float
    level: float
    integrals: tuple[float, float, float]
    squares: tuple[float, float, float]
    rate: float
    trend: float

    @classmethod
    def of(cls, window_s: float, seen_s: float, moments: Moments) -> Fit:
        """To the jobs of `seen_s` seconds."""
        integrals, squares = _integrals(window_s, seen_s), _integrals(window_s / 2, seen_s)
        i0, i1, i2 = integrals
        weight, age_s = moments
        level, determinant = weight / i0, i0 * i2 - i1 * i1
        if determinant <= _SINGULAR * i0 * i2:
            return cls(window_s, level, integrals, squares, level, 0.0)
        rate, trend = (weight * i2 - age_s * i1) / determinant, (weight * i1 - age_s * i0) / determinant
        return cls(window_s, level, integrals, squares, rate, trend)

    @property
    def constant(self) -> Line:
        """The rate is as it was."""
        return Line(self.level, 0.0, self.squares[0] / self.integrals[0] ** 2)

    def line(self, lead_s: float) -> Line:
        """The rate goes on changing as it did; `scale` is of the rate in `lead_s` seconds, infinite of no line."""
        (i0, i1, i2), (j0, j1, j2) = self.integrals, self.squares
        determinant = i0 * i2 - i1 * i1
        if determinant <= _SINGULAR * i0 * i2:
            return Line(self.level, 0.0, math.inf)
        # The foretold rate weighs a job of age s with (a + b s) times its weight.
        a, b = (i2 + lead_s * i1) / determinant, -(i1 + lead_s * i0) / determinant
        return Line(self.rate, self.trend, a * a * j0 + 2 * a * b * j1 + b * b * j2)


def fits_of(seen_s: float, moments: Sequence[Moments]) -> list[Fit]:
    """Of every window, the shortest first."""
    return [Fit.of(window_s, seen_s, one) for window_s, one in zip(WINDOWS_S, moments, strict=True)]


def _integrals(window_s: float, seen_s: float) -> tuple[float, float, float]:
    q, w, x = math.exp(-seen_s / window_s), window_s, seen_s
    return (
        w * (1 - q),
        w * w * (1 - q) - x * w * q,
        2 * w**3 * (1 - q) - (x * x * w + 2 * x * w * w) * q,
    )
