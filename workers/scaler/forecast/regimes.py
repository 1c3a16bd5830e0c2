"""When the present regime began: a probability for each possible beginning (the run-length posterior).

In a regime the rate is constant. Every hypothesis says that the present one began at a certain time, and foretells the
number of jobs in the next bin from those that came since then. What comes makes some hypotheses more likely than others
(Adams and MacKay, "Bayesian online changepoint detection", 2007; Fearnhead and Liu, "On-line inference for multiple
changepoint problems", 2007).

Example: 1 job each 10 s for an hour, then 1 job a second. To "nothing has changed" each of the new jobs is unlikely by
about a factor of 10, to "it has changed a moment ago" it is not: after some 4 jobs the change is believed.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from workers.scaler.forecast.atoms import UNHEARD, Atom, log_likelihood

# Length of a bin, as a share of the lead, but at least LEAST_BIN_S. Design: half of it is how late a change is seen.
# Example: lead 31 s, one observation a second: each of them is a bin.
BINS, LEAST_BIN_S = 40.0, 0.5
# How readily regimes end: one of age r ends within the next t seconds with a probability of about
# HAZARD * t / (r + lead). No duration is preferred. Judged by simulation: `--load step:0.2,0.5@600,0.2@1200`.
# Example: lead 31 s: a regime of 269 s ends within the next second with a probability of 0.1 / 300 = 0.0003.
HAZARD = 0.1
# Hypotheses that are kept: the most likely, and always the newest, which had no time to be right. Design: with 16 the
# past is judged too coarsely.
# Example: 16 beginnings of the last hour that are likely, and those of the last 4 bins, two for each.
KEPT, NEWEST = 24, 8
# What a new regime is thought to have seen: half a job, in the time that half a job takes at the expected rate, or at
# LEAST_JOBS in a lead if that is more. A rate that is thought too high is soon corrected, one too low is not. Judged by
# simulation: `--load burst:0,2,300,60` and `--load constant:0.005`.
# Example: an idle hour, lead 31 s: a new regime begins with half a job in 0.5 * 31 / 2 = 8 s.
PRIOR_JOBS = 0.5
LEAST_JOBS = 2.0
# What a new regime is thought to have seen if it is one that is remembered: so many jobs at that regime's level. Judged
# by simulation: `--load burst:0,2,300,60`.
# Example: bursts of 2 jobs/s came before, and an idle time ends: one hypothesis begins with 10 jobs in 5 s. Three jobs
# within 2 s are enough for it to expect 2 jobs/s, where one that remembers nothing expects less than 1.
AGAIN_JOBS = 10.0
# Share of itself by which a rate wanders within a lead, times the root of the dispersion. Judged by simulation:
# `--load sine:1,0.8,1200`.
# Example: 1 job/s for an hour, lead 31 s: in 31 s it may be 0.92 or 1.08 jobs/s.
WANDER = 0.08
# Levels below this many jobs in a lead count as it, as a regime of no jobs at all could never see one. Design.
# Example: lead 30 s: a regime that is remembered as idle begins again with 10 jobs in 6000 s.
_IDLE_JOBS = 0.05


class Hypothesis(NamedTuple):
    """The present regime began at `began_s`; since then `jobs` came.

    Before, `prior_jobs` are thought to have come in `prior_s`.
    """

    began_s: float
    prior_jobs: float
    prior_s: float
    jobs: int = 0
    log_weight: float = 0.0

    def seen(self, now_s: float, dispersion: float) -> tuple[float, float]:
        """The jobs since it began and the seconds, both divided by the dispersion, with those before."""
        return self.prior_jobs + self.jobs / dispersion, self.prior_s + (now_s - self.began_s) / dispersion

    def level(self, now_s: float, dispersion: float) -> float:
        """The mean rate since it began, in jobs/s."""
        jobs, time_s = self.seen(now_s, dispersion)
        return jobs / time_s

    def log_likelihood(self, from_s: float, passed_s: float, jobs: int, dispersion: float) -> float:
        """The logarithm of the probability of the jobs of a bin, up to what is the same for all hypotheses."""
        shape, time_s = self.seen(from_s, dispersion)
        return log_likelihood(jobs / dispersion, shape, passed_s / dispersion / time_s)

    def atom(self, weight: float, now_s: float, wanders: float, dispersion: float) -> Atom:
        """The rate that it foretells, if a rate wanders by that share of itself until then."""
        jobs, time_s = self.seen(now_s, dispersion)
        rate = jobs / time_s
        return Atom(weight, rate, rate * math.sqrt(1 / jobs + wanders * wanders))


Hypotheses: TypeAlias = tuple[Hypothesis, ...]


class Outlook(NamedTuple):
    """What regimes like the present one, which began at `began_s`, let expect of some time from now on.

    `lasts` is how probable it is that the present regime lasts for so long, and `after` are the rates that follow if it
    does not. `share` is how probable it is that the next regime is one that is remembered, at `level` jobs/s.
    """

    began_s: float
    lasts: float
    after: list[Atom]
    share: float
    level: float


def begin(now_s: float, lead_s: float) -> Hypotheses:
    """Returns what there is before the first observation."""
    return (Hypothesis(now_s, PRIOR_JOBS, PRIOR_JOBS * lead_s / LEAST_JOBS),)


def observe(
    hypotheses: Hypotheses, from_s: float, now_s: float, jobs: int, lead_s: float, dispersion: float, outlook: Outlook
) -> Hypotheses:
    """Returns them after a bin from `from_s` to `now_s` with that many jobs, oldest first; `outlook` is of the bin.

    Their weights are multiplied by the probability that they gave to those jobs.
    """
    passed_s = now_s - from_s
    lasting, ended, expected, total = [], 0.0, 0.0, 0.0
    for one in hypotheses:
        weight, left_s = math.exp(one.log_weight), from_s - one.began_s + lead_s
        log_stays = HAZARD * math.log(left_s / (left_s + passed_s))
        if 2 * (from_s - one.began_s) >= from_s - outlook.began_s:  # not of a regime that may have begun since then
            log_stays += math.log(outlook.lasts)
        total += weight
        ended -= weight * math.expm1(log_stays)
        expected += weight * one.level(from_s, dispersion)
        lasting.append((one, one.log_weight + log_stays))
    prior_s = PRIOR_JOBS / max(expected / total, LEAST_JOBS / lead_s)
    log_ended = math.log(max(ended, 1e-300))
    lasting.append((Hypothesis(from_s, PRIOR_JOBS, prior_s), log_ended + math.log1p(-outlook.share)))
    if outlook.share > UNHEARD:
        again_s = AGAIN_JOBS / max(outlook.level, _IDLE_JOBS / lead_s)
        lasting.append((Hypothesis(from_s, AGAIN_JOBS, again_s), log_ended + math.log(outlook.share)))
    logs = [prior + one.log_likelihood(from_s, passed_s, jobs, dispersion) for one, prior in lasting]
    while len(logs) > KEPT:
        least = logs.index(min(logs[:-NEWEST]))
        del logs[least], lasting[least]
    best, ones = max(logs), zip([one for one, _ in lasting], logs, strict=True)
    return tuple([Hypothesis(*one[:3], one.jobs + jobs, log - best) for one, log in ones])


def foretold(hypotheses: Hypotheses, now_s: float, ahead_s: float, lead_s: float, dispersion: float) -> list[Atom]:
    """Returns the rates that are possible in `ahead_s` seconds, if no regime ends until then."""
    weights = [math.exp(one.log_weight) for one in hypotheses]
    total, wanders = math.fsum(weights), WANDER * math.sqrt(dispersion) * ahead_s / lead_s
    heard = [(weight / total, one) for weight, one in zip(weights, hypotheses, strict=True) if weight > UNHEARD * total]
    return [one.atom(weight, now_s, wanders, dispersion) for weight, one in heard]
