"""What followed on what: the regimes that have ended, how long they lasted, and what came next.

If the present regime is like one that is remembered, it may end as that did. So bursts that repeat are foreseen, and
nobody has to name their period.

Example: bursts of 2 jobs/s for 60 s came each 900 s. It has been idle for 820 s; one idle time lasted for 840 s before,
which is known with a standard deviation of 8 % + 1 s = 68 s. That this one is over in 31 s has a probability of 0.29:
so 2 jobs/s are expected then with that probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast.atoms import DIFFERENT, UNHEARD, Atom, differ, upper_tail
from workers.scaler.forecast.regimes import BINS, WANDER, Outlook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.scaler.forecast.regimes import Hypotheses, Hypothesis

# Number of regimes that are remembered, the last ones. Judged by simulation: `--load burst:0,2,300,60`.
# Example: the last 20 bursts and the idle times between them.
KEPT = 40
# A regime has ended if so much of the weight is on later beginnings, and its level is another. Judged by simulation:
# `--load burst:0,2,300,60 --process poisson`.
# Example: 1 job/s, then 2.5 jobs/s: after some jobs it is 10 times as likely that the rate has changed as that not.
SURE = 0.9
# Leads that a regime must have lasted for it to be remembered: no pod could have been ordered for a shorter one, and
# its level is that of the few jobs by which it was noticed. Judged by simulation: `--load sine:0.5,0.4,600`.
# Example: lead 31 s: 8 jobs in 4 s amid 0.6 jobs/s are chance, and nobody expects 2 jobs/s of the next rise.
SHORTEST_LEADS = 0.5
# Standard deviation of the logarithm of levels that are alike: levels that are just not the same differ by two of them.
# Design.
# Example: levels of 1 and 1.41 jobs/s differ by one: a regime counts exp(-0.5) = 0.6 for the other.
ALIKE = math.log(DIFFERENT) / 2
# Jobs in a lead that are added to levels before they are compared, as the logarithm of 0 is none. Design.
# Example: with a lead of 31 s, no job and one in 10 minutes are nearly the same level.
SLACK_JOBS = 0.1
# How long a regime lasts the next time has a standard deviation of WANDER, as a share of its length, and of a bin, as a
# change is seen no sooner. The share is less if the lengths of regimes that are alike differ by less: for so many pairs
# of them it is WANDER. Judged by simulation: `--load burst:0,2,300,60`.
# Example: three idle times of 240, 241 and 240 s are two pairs that differ by 0.4 %: 0.08 * sqrt(0.5 / 2.5) = 3.6 %.
LENGTH_PRIOR = 0.5
# What a remembered regime counts for fades by this share, with the root of how many ended after it. Judged by
# simulation, as before.
# Example: the last one counts 1, the tenth before it 0.9^sqrt(10) = 0.72.
FADES = 0.9
# What all that was never seen counts for, against a remembered regime that is quite alike. Judged by simulation, as
# before.
# Example: one regime was quite alike, and ended at about this age: so does this one, with 1 / (1 + 0.65) = 0.61.
UNKNOWN = 0.65
# How probable it is at most that the next regime is one that is remembered. Judged by simulation, as before.
# Example: 5 regimes like the present one are remembered: 0.5 * 5 / (5 + 1) = 0.42.
BORN = 0.5


class EndedRegime(NamedTuple):
    """A regime of the past: its level in jobs/s, and its length. The next that is remembered followed on it."""

    level: float
    length_s: float
    began_s: float


@dataclass(frozen=True, slots=True)
class Succession:
    """The present regime's beginning, as far as it is sure, how many jobs had come by then, and what ended before."""

    began_s: float
    before: int = 0
    ended: tuple[EndedRegime, ...] = ()  # oldest first

    def observe(self, hypotheses: Hypotheses, now_s: float, total: int, lead_s: float, dispersion: float) -> Succession:
        """Returns it with the present regime's end, if that is sure. `total` is the number of all jobs so far."""
        later = [one for one in hypotheses if one.began_s > self.began_s]
        if _weight(later) < SURE * _weight(hypotheses):
            return self
        new = max(later, key=attrgetter("log_weight"))
        slack, length_s, before = SLACK_JOBS / lead_s, new.began_s - self.began_s, total - new.jobs
        level, next_level = (before - self.before) / length_s, new.level(now_s, dispersion)
        if not differ(level, next_level, slack):
            return self
        ended, began_s = list(self.ended), self.began_s
        if length_s >= SHORTEST_LEADS * lead_s:
            if ended and not differ(ended[-1].level, level, slack):
                last = ended.pop()
                level = (last.level * last.length_s + level * length_s) / (last.length_s + length_s)
                length_s, began_s = length_s + last.length_s, last.began_s
            ended.append(EndedRegime(level, length_s, began_s))
        return Succession(new.began_s, before, tuple(ended[-KEPT:]))

    @property
    def changes(self) -> list[float]:
        """The times at which the regimes that are remembered, and the present one, began."""
        return [*[one.began_s for one in self.ended], self.began_s]

    def outlook(self, now_s: float, total: int, ahead_s: float, lead_s: float) -> Outlook:
        """Returns what regimes like the present one let expect of the next `ahead_s`. `total` jobs have come so far."""
        age_s = max(now_s - self.began_s, lead_s / BINS)
        alike = self._alike(total - self.before, age_s, SLACK_JOBS / lead_s)
        lasting, share, after = UNKNOWN, _repeats(alike), []
        for weight, length_s, next_level in alike:
            deviation_s = share * length_s + lead_s / BINS
            now, then = (upper_tail((until_s - length_s) / deviation_s) for until_s in (age_s, age_s + ahead_s))
            lasting += weight * then
            after.append(Atom(weight * (now - then), next_level, WANDER * next_level))
        total_weight, known = lasting + math.fsum(atom.weight for atom in after), sum([one[0] for one in alike])
        after = [Atom(weight / total_weight, rate, spread) for weight, rate, spread in after]
        level = sum([weight * next_level for weight, _, next_level in alike]) / max(known, UNHEARD)
        return Outlook(self.began_s, lasting / total_weight, after, BORN * known / (known + 1), level)

    def _alike(self, jobs: int, age_s: float, slack: float) -> list[tuple[float, float, float]]:
        """Returns what each remembered regime counts for at present, its length, and the level after it.

        The last is the first. On it the present regime followed, which has had so many `jobs` so far. The fewer jobs
        there were in both, the less their levels are known: the squared standard error of a level is `level / age_s`.
        """
        found, level = [], jobs / age_s
        next_level, error = level, level / age_s / (level + slack) ** 2
        for back, one in enumerate(reversed(self.ended)):
            apart = math.log((one.level + slack) / (level + slack))
            squared = ALIKE**2 + error + one.level / one.length_s / (one.level + slack) ** 2
            found.append((math.exp(-apart * apart / 2 / squared) * FADES ** math.sqrt(back), one.length_s, next_level))
            next_level = one.level
        return found


def _repeats(alike: Iterable[tuple[float, float, float]]) -> float:
    """Returns the standard deviation of the lengths of regimes that are alike, as a share of them."""
    differ, known = LENGTH_PRIOR * WANDER**2, LENGTH_PRIOR
    for (weight, length_s, _), (_, other_s, _) in pairwise([one for one in alike if one[0] > UNHEARD]):
        differ += weight * math.log(length_s / other_s) ** 2 / 2
        known += weight
    return min(WANDER, math.sqrt(differ / known))


def _weight(hypotheses: Iterable[Hypothesis]) -> float:
    return math.fsum(math.exp(one.log_weight) for one in hypotheses)
