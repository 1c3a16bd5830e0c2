"""Whether the rate of a regime is constant or follows a trend, and where a trend leads.

A trend upwards is a line, one downwards an exponential, which never falls below 0. The number of jobs and their mean
time since the beginning are enough to fit both.

Example: 60 jobs within 60 s, on average 35 s after the beginning and not 30 s: more and more came. The slope is
12 * 60 * (35 - 30) / 60^3 = 0.017 jobs/s each second, so the rate has risen from 0.5 to 1.5 jobs/s.
"""

from __future__ import annotations

import math

from workers.scaler.forecast.atoms import Atom

# How probable a trend is at first. Judged by simulation: `--load ramping`.
# Example: as long as a regime is too short to tell, 0.8 of its weight is a line's, whose slope is next to 0.
import os
TREND = float(os.environ.get("X_TREND","0.8"))
# Standard deviation of slopes, as a share of the rate in a lead. Judged by simulation: `--load ramping`.
# Example: at 1 job/s, with a lead of 31 s, a rise by 0.3 jobs/s within 31 s is usual, one by 1 job/s is not.
SLOPE = 0.3
# Share of itself by which a rate wanders within a lead, times the root of the dispersion. Judged by simulation:
# `--load sine:1,0.8,1200`.
# Example: 1 job/s for an hour, lead 31 s: in 31 s it may be 0.92 or 1.08 jobs/s.
WANDER = float(os.environ.get("X_RW","0.08"))
# Fewest jobs that show a trend. Judged by simulation: one job each 60 s.
# Example: of 7 jobs in 7 minutes no trend is taken, whenever they came.
_FEWEST_JOBS = int(os.environ.get("X_FEW","1000000"))


def project(
    jobs: int,
    moment_s: float,
    age_s: float,
    level: float,
    error: float,
    ahead_s: float,
    lead_s: float,
    dispersion: float,
) -> list[Atom]:
    """Returns the rates that are possible `ahead_s` from now, in a regime of that age, rate and standard error.

    `moment_s` is the sum of the times of its jobs, counted from its beginning.
    """
    wander = WANDER * math.sqrt(dispersion) * ahead_s / lead_s
    flat = Atom(1.0, level, math.hypot(error, wander * level))
    if jobs < _FEWEST_JOBS or age_s <= 0:
        return [flat]
    rate = jobs / age_s
    slope, variance = 12 * (moment_s - jobs * age_s / 2) / age_s**3, 12 * dispersion * rate / age_s**3
    usual = (SLOPE * rate / lead_s) ** 2
    shrunk = usual / (usual + variance)
    odds = TREND / (1 - TREND) * math.sqrt(1 - shrunk) * math.exp(min(500.0, slope**2 * shrunk / variance / 2))
    trend = odds / (1 + odds)
    slope *= shrunk
    # A trend is followed for no longer than it has been seen.
    reach_s = age_s / 2 + min(ahead_s, age_s)
    then = rate + slope * reach_s if slope >= 0 else _fallen(rate, slope, age_s, min(ahead_s, age_s))
    uncertain = math.sqrt(shrunk * variance) * reach_s * min(1.0, then / rate)
    spread = math.sqrt((error * min(1.0, then / rate)) ** 2 + uncertain**2 + (wander * then) ** 2)
    return [flat._replace(weight=1 - trend), Atom(trend, then, spread)]


def _fallen(rate: float, slope: float, age_s: float, ahead_s: float) -> float:
    """Returns the rate of an exponential decay with that mean rate over `age_s`, and the mean time of that slope.

    With u = age * decay, the mean time is age * (1 / u - 1 / (exp(u) - 1)): two steps of Newton's method solve it.
    """
    mean = max(0.01, 0.5 + slope * age_s / rate / 12)
    u = 12 * (0.5 - mean)
    if u < 1e-6:
        return rate
    for _ in range(2):
        grown = math.expm1(u)
        u -= (1 / u - 1 / grown - mean) / ((grown + 1) / grown**2 - 1 / u**2)
        u = min(max(u, 1e-6), 100.0)
    return rate * u / math.expm1(u) * math.exp(-u * ahead_s / age_s)
