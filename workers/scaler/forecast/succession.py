"""What followed on what: the regimes that have ended, how long they lasted, and what came next.

If the present regime is like one that is remembered, it may end as that did. So bursts that repeat are foreseen, and
nobody has to name their period.

Example: bursts of 2 jobs/s for 60 s came each 900 s. It has been idle for 820 s; idle times lasted for 840 s before,
with a standard deviation of 8 % + 2 s = 69 s. That this one is over in 31 s has a probability of 0.33: so 2 jobs/s are
expected then with that probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast.atoms import Atom

if TYPE_CHECKING:
    from workers.scaler.forecast.regimes import Hypothesis

# Number of regimes that are remembered, the last ones. Judged by simulation: `--load burst:0,2,300,60`.
# Example: the last 20 bursts and the idle times between them.
KEPT = 40
# A regime has ended if SURE of the weight is on later beginnings, and its level is another by a factor of DIFFERENT.
# Judged by simulation: `--load burst:0,2,300,60 --process poisson`.
# Example: 1 job/s, then 1.5 jobs/s: one regime; 1 job/s, then 2 jobs/s: two.
SURE, DIFFERENT = 0.9, 1.6
# Standard deviation of the logarithm of levels that are alike. Judged by simulation, as before.
# Example: levels of 1 and 1.42 jobs/s differ by one: a regime counts exp(-0.5) = 0.6 for the other.
ALIKE = 0.35
# Jobs in a lead that are added to levels before they are compared, as the logarithm of 0 is none. Design.
# Example: with a lead of 31 s, no job and one in 10 minutes are nearly the same level.
SLACK_JOBS = 0.1
# Standard deviation of how long a regime lasts the next time: a share of its length, and one of the lead.
# Judged by simulation: `--load burst:0,2,300,60`.
# Example: lead 31 s: 300 s are repeated to 300 * 0.08 + 31 * 0.06 = 26 s.
LENGTH_SHARE, LENGTH_LEADS = 0.08, 0.06
# What all that was never seen counts for, against a remembered regime that is quite alike: UNKNOWN at first, and less
# the longer the present regime has lasted. Judged by simulation, as before.
# Example: after 9 leads it is 0.7 * 10^-0.3 = 0.35.
import os
BORN = float(os.environ.get('X_BORN','0.5'))
UNKNOWN, UNKNOWN_FADES = float(os.environ.get("X_UNK","0.7")), 0.3


class EndedRegime(NamedTuple):
    """A regime of the past: its level in jobs/s, its length, and the level of the one that followed."""

    level: float
    length_s: float
    next_level: float


@dataclass(frozen=True, slots=True)
class Succession:
    """The present regime's beginning, as far as it is sure, how many jobs had come by then, and what ended before."""

    began_s: float
    before: int = 0
    ended: tuple[EndedRegime, ...] = ()  # oldest first

    def observe(
        self, hypotheses: tuple[Hypothesis, ...], now_s: float, total: int, lead_s: float, dispersion: float
    ) -> Succession:
        """Returns it with the present regime's end, if that is sure. `total` is the number of all jobs so far."""
        later = [one for one in hypotheses if one.began_s > self.began_s]
        weights = [math.exp(one.log_weight) for one in later]
        if math.fsum(weights) < SURE * math.fsum(math.exp(one.log_weight) for one in hypotheses):
            return self
        _, new = max(zip(weights, later, strict=True))
        slack, length_s, before = SLACK_JOBS / lead_s, new.began_s - self.began_s, total - new.jobs
        level, next_level = (before - self.before) / length_s, new.level(now_s, dispersion)
        if not _differ(level, next_level, slack):
            return self
        ended = list(self.ended)
        if ended and not _differ(ended[-1].level, level, slack):
            last = ended.pop()
            level = (last.level * last.length_s + level * length_s) / (last.length_s + length_s)
            length_s += last.length_s
        elif ended:
            ended[-1] = ended[-1]._replace(next_level=level)
        ended.append(EndedRegime(level, length_s, next_level))
        return Succession(new.began_s, before, tuple(ended[-KEPT:]))

    def next_level(self, now_s: float, total: int, lead_s: float) -> tuple[float, float]:
        """How probable it is that what comes next came before, and its level."""
        age_s, slack = max(now_s - self.began_s, 1.0), SLACK_JOBS / lead_s
        level = (total - self.before) / age_s
        known = first = 0.0
        for back, one in enumerate(reversed(self.ended)):
            apart = math.log((one.level + slack) / (level + slack)) / ALIKE
            weight = math.exp(-apart * apart / 2) * 0.9 ** math.sqrt(back)
            known += weight
            first += weight * one.next_level
        if known < 1e-6:
            return 0.0, 0.0
        return (BORN * known / (known + 1.0), first / known)

    def foretold(self, now_s: float, total: int, ahead_s: float, lead_s: float) -> tuple[float, list[Atom]]:
        """Returns the probability that the present regime lasts, and what comes in `ahead_s` if it does not."""
        age_s, slack = max(now_s - self.began_s, 1.0), SLACK_JOBS / lead_s
        level = (total - self.before) / age_s
        lasting = UNKNOWN * (1 + age_s / lead_s) ** -UNKNOWN_FADES
        over: list[Atom] = []
        for back, one in enumerate(reversed(self.ended)):
            apart = math.log((one.level + slack) / (level + slack)) / ALIKE
            weight = math.exp(-apart * apart / 2) * 0.9 ** math.sqrt(back)
            deviation_s = LENGTH_SHARE * one.length_s + LENGTH_LEADS * lead_s
            now, then = ((after_s - one.length_s) / deviation_s for after_s in (age_s, age_s + ahead_s))
            lasting += weight * _longer(then)
            if (ends := weight * (_longer(now) - _longer(then))) > 1e-6:
                over.append(Atom(ends, one.next_level, LENGTH_SHARE * one.next_level))
        total_weight = lasting + math.fsum(atom.weight for atom in over)
        return lasting / total_weight, [Atom(weight / total_weight, rate, spread) for weight, rate, spread in over]


def _differ(level: float, other: float, slack: float) -> bool:
    return abs(math.log((level + slack) / (other + slack))) > math.log(DIFFERENT)


def _longer(deviations: float) -> float:
    """Returns the probability of a normal variate to be larger by that many standard deviations than its mean."""
    return 0.5 * math.erfc(deviations / math.sqrt(2))
