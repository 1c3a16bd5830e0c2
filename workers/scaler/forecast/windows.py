"""Rates fitted to the jobs of one window, as a constant and as a straight line, and how uncertain they are.

A window of length w weighs a job that came s seconds ago with exp(-s / w). Two sums are kept of its jobs: of their
weights, and of their weighted ages. Together with the integrals of the weights over the time of observation they give
the weighted least-squares fits of a constant and of a line.

Example: a window of 10 s, observed for long, in which one job came now and one 10 s ago. The weights sum up to
1 + exp(-1) = 1.37 and their integral is 10 s, so the constant is 0.137 jobs/s.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

# Lengths of the windows in seconds. Design: each is twice the one before, so that between 4 s and 17 min no length is
# further than a factor of 1.4 from one that there is.
# Example: the best length for a load is 45 s; there are 32 s and 64 s.
WINDOWS_S = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
# Determinant of the equations of a line, as a share of its first product, from which on a line is fitted. Design: below
# it there are only rounding errors, as doubles have 16 digits and long windows lose most of them over a short time.
# Example: the window of 1024 s has a share of 0.25 after 1 s. After 1 ms an integral is negative: no line is fitted.
_SINGULAR = 1e-9
Integrals: TypeAlias = tuple[float, float, float]


class WindowSums(NamedTuple):
    """What is kept of the jobs in one window: the sum of their weights, and of their weighted ages (in seconds)."""

    weight: float = 0.0
    age_s: float = 0.0

    def observe(self, window_s: float, passed_s: float, jobs: int) -> WindowSums:
        """Returns the sums `passed_s` later. `jobs` came meanwhile: evenly, for all that is known."""
        decay = math.exp(-passed_s / window_s)
        weight, age_s = decay * self.weight, decay * (self.age_s + passed_s * self.weight)
        if jobs:
            fresh = jobs * math.exp(-passed_s / 2 / window_s)
            weight, age_s = weight + fresh, age_s + fresh * passed_s / 2
        return WindowSums(weight, age_s)


class RateLine(NamedTuple):
    """A rate in jobs/s now, and its change in jobs/s per second.

    `scale` (1/s) times the dispersion times the rate is the variance of the rate that the line foretells.
    """

    rate: float
    trend: float
    scale: float


class WindowFit(NamedTuple):
    """The two fits of one window: the constant `level`, and the line of `rate` and `trend`.

    `integrals` are those of the weights times 1, s and s^2, `squares` those of the squared weights.
    """

    window_s: float
    level: float
    integrals: Integrals
    squares: Integrals
    rate: float
    trend: float

    @classmethod
    def of(cls, window_s: float, seen_s: float, sums: WindowSums) -> WindowFit:
        """Fits the jobs of `seen_s` seconds."""
        return cls.from_integrals(window_s, integrals_of(window_s, seen_s), integrals_of(window_s / 2, seen_s), sums)

    @classmethod
    def from_integrals(cls, window_s: float, integrals: Integrals, squares: Integrals, sums: WindowSums) -> WindowFit:
        """Fits the jobs whose weights have these integrals, and whose squared weights have `squares`."""
        i0, i1, i2 = integrals
        weight, age_s = sums
        level, determinant = weight / i0, i0 * i2 - i1 * i1
        if determinant <= _SINGULAR * i0 * i2:
            return cls(window_s, level, integrals, squares, level, 0.0)
        rate, trend = (weight * i2 - age_s * i1) / determinant, (weight * i1 - age_s * i0) / determinant
        return cls(window_s, level, integrals, squares, rate, trend)

    @property
    def has_line(self) -> bool:
        """Whether there is more in a line than rounding errors."""
        i0, i1, i2 = self.integrals
        return i0 * i2 - i1 * i1 > _SINGULAR * i0 * i2

    @property
    def constant(self) -> RateLine:
        """The rate stays as it was."""
        return RateLine(self.level, 0.0, self.squares[0] / self.integrals[0] ** 2)

    def line(self, lead_s: float) -> RateLine:
        """The rate goes on changing as it did. `scale` is of the rate in `lead_s` seconds; infinite without a line."""
        (i0, i1, i2), (j0, j1, j2) = self.integrals, self.squares
        determinant = i0 * i2 - i1 * i1
        if determinant <= _SINGULAR * i0 * i2:
            return RateLine(self.level, 0.0, math.inf)
        # The foretold rate is linear in the jobs: it weighs a job of age s with (a + b s) times its weight.
        a, b = (i2 + lead_s * i1) / determinant, -(i1 + lead_s * i0) / determinant
        return RateLine(self.rate, self.trend, a * a * j0 + 2 * a * b * j1 + b * b * j2)


def fit_windows(seen_s: float, sums: Sequence[WindowSums]) -> list[WindowFit]:
    """Fits every window of `WINDOWS_S` to the jobs of `seen_s` seconds; the shortest window is first."""
    # The squared weights of a window are the weights of one half as long, which is the one before.
    squares, fits = integrals_of(WINDOWS_S[0] / 2, seen_s), []
    for window_s, one in zip(WINDOWS_S, sums, strict=True):
        integrals = integrals_of(window_s, seen_s)
        fits.append(WindowFit.from_integrals(window_s, integrals, squares, one))
        squares = integrals
    return fits


def integrals_of(window_s: float, seen_s: float) -> Integrals:
    """Returns the integrals from 0 to `seen_s` of exp(-s / window_s) times 1, s and s^2."""
    q, w, x = math.exp(-seen_s / window_s), window_s, seen_s
    return (
        w * (1 - q),
        w * w * (1 - q) - x * w * q,
        2 * w**3 * (1 - q) - (x * x * w + 2 * x * w * w) * q,
    )
