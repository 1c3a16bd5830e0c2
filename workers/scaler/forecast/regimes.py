"""When the present regime began: a probability for each possible beginning (the run-length posterior).

In a regime the rate is constant, or a line. Every hypothesis says that the present one began at a certain time, and
foretells the number of jobs in the next bin from those that came since then. What comes makes some hypotheses more
likely than others (Adams and MacKay, "Bayesian online changepoint detection", 2007; Fearnhead and Liu, "On-line
inference for multiple changepoint problems", 2007).

Example: 1 job each 10 s for an hour, then 1 job a second. To "nothing has changed" each of the new jobs is unlikely by
about a factor of 10, to "it has changed a moment ago" it is not: after some 4 jobs the change is believed.
"""

from __future__ import annotations

import math
from operator import mul
from typing import NamedTuple

from workers.scaler.forecast.atoms import UNHEARD, Atom
from workers.scaler.forecast.lines import project

# How readily regimes end: one of age r ends within the next t seconds with a probability of about
# HAZARD * t / (r + lead). No duration is preferred. Judged by simulation: `--load step:0.2,0.5@600,0.2@1200`.
# Example: lead 31 s: a regime of 269 s ends within the next second with a probability of 0.1 / 300 = 0.0003.
import os
HAZARD = float(os.environ.get("X_HAZ","0.1"))
# Hypotheses that are kept: the most likely, and always the newest, which had no time to be right. Design: with 16 the
# past is judged too coarsely.
# Example: 18 beginnings of the last hour that are likely, and those of the last 6 bins.
KEPT, NEWEST = 24, int(os.environ.get('X_NEW','8'))
# What a new regime is thought to have seen: half a job, in the time that half a job takes at the expected rate, or at
# LEAST_JOBS in a lead if that is more. A rate that is thought too high is soon corrected, one too low is not. Judged by
# simulation: `--load burst:0,2,300,60` and `--load constant:0.005`.
# Example: an idle hour, lead 31 s: a new regime begins with half a job in 0.5 * 31 / 2 = 8 s.
PRIOR_JOBS = 0.5
AGAIN_JOBS = float(os.environ.get('X_AGAIN','10'))
LEAST_JOBS = 2.0


class Hypothesis(NamedTuple):
    """The present regime began at `began_s`; since then `jobs` came, `moment_s` is the sum of their times since then.

    They came in `busy` bins. `prior_s` is the time in which `PRIOR_JOBS` are thought to have come before.
    """

    began_s: float
    jobs: int
    moment_s: float
    prior_s: float
    busy: int
    log_weight: float
    prior_jobs: float = PRIOR_JOBS

    def level(self, now_s: float, dispersion: float) -> float:
        """The mean rate since it began, in jobs/s."""
        jobs, passed_s = self.prior_jobs + self.jobs / dispersion, self.prior_s + (now_s - self.began_s) / dispersion
        return jobs / passed_s


def begin(now_s: float, lead_s: float) -> tuple[Hypothesis, ...]:
    """Returns what there is before the first observation."""
    return (Hypothesis(now_s, 0, 0.0, PRIOR_JOBS * lead_s / LEAST_JOBS, 0, 0.0),)


def observe(
    hypotheses: tuple[Hypothesis, ...], now_s: float, passed_s: float, jobs: int, lead_s: float, dispersion: float,
    next_level: tuple[float, float] = (0.0, 0.0),
) -> tuple[Hypothesis, ...]:
    """Returns them after a bin of `passed_s` seconds with that many jobs, oldest first.

    Their weights are multiplied by the probability of the jobs: of a Poisson process whose rate has a Gamma
    distribution, with jobs and time divided by the dispersion.
    """
    from_s, count, time_s = now_s - passed_s, jobs / dispersion, passed_s / dispersion
    lasting, ended, expected, total = [], 0.0, 0.0, 0.0
    for one in hypotheses:
        weight, age_s = math.exp(one.log_weight), from_s - one.began_s
        stays = ((age_s + lead_s) / (age_s + lead_s + passed_s)) ** HAZARD
        total += weight
        ended += weight * (1 - stays)
        expected += weight * one.level(from_s, dispersion)
        lasting.append((one, age_s, one.log_weight + math.log(stays)))
    prior_s = PRIOR_JOBS / max(expected / total, LEAST_JOBS / lead_s)
    new = Hypothesis(from_s, 0, 0.0, prior_s, 0, 0.0)
    share, level_ = next_level
    lasting.append((new, 0.0, math.log(max(ended * (1 - share), 1e-300))))
    if share > 0.01:
        again = Hypothesis(from_s, 0, 0.0, AGAIN_JOBS / max(level_, 0.05 / lead_s), 0, 0.0, AGAIN_JOBS)
        lasting.append((again, 0.0, math.log(max(ended * share, 1e-300))))
    after = []
    for one, age_s, log_weight in lasting:
        began_s, before, moment_s, before_s, busy, _, prior_jobs = one
        shape, rate_s = prior_jobs + before / dispersion, before_s + age_s / dispersion
        likely = shape * math.log(rate_s / (rate_s + time_s))
        if jobs:
            likely += math.lgamma(shape + count) - math.lgamma(shape) - count * math.log(rate_s + time_s)
            moment_s += jobs * (age_s + passed_s / 2)
        after.append(Hypothesis(began_s, before + jobs, moment_s, before_s, busy + (jobs > 0), log_weight + likely, prior_jobs))
    while len(after) > KEPT:
        after.remove(min(after[:-NEWEST], key=lambda one: one.log_weight))
    best = max([one.log_weight for one in after])
    return tuple([Hypothesis(*one[:5], one[5] - best, one[6]) for one in after])


def level(hypotheses: tuple[Hypothesis, ...], now_s: float, dispersion: float) -> float:
    """Returns the expected rate of now, in jobs/s."""
    weights = [math.exp(one.log_weight) for one in hypotheses]
    levels = [one.level(now_s, dispersion) for one in hypotheses]
    return math.fsum(map(mul, weights, levels)) / math.fsum(weights)


def foretold(
    hypotheses: tuple[Hypothesis, ...], now_s: float, ahead_s: float, lead_s: float, dispersion: float
) -> list[Atom]:
    """Returns the rates that are possible in `ahead_s` seconds, if no regime ends until then."""
    total = math.fsum(math.exp(one.log_weight) for one in hypotheses)
    found: list[Atom] = []
    for one in hypotheses:
        if (weight := math.exp(one.log_weight) / total) > UNHEARD:
            # The first job, or batch, says nothing of a rate: only a second one shows how far they are apart.
            known = 1 - 1 / one.busy if one.busy and one.prior_jobs == PRIOR_JOBS else 1.0
            rate, age_s = known * one.level(now_s, dispersion), now_s - one.began_s
            error = rate / math.sqrt(one.prior_jobs + one.jobs / dispersion)
            jobs = one.jobs if one.busy > 2 else 0  # fewer make no trend
            atoms = project(jobs, one.moment_s, age_s, rate, error, ahead_s, lead_s, dispersion)
            found += [Atom(weight * share, rate, spread) for share, rate, spread in atoms]
    return found
