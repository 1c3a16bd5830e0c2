"""The recent past as an expert of its own, for jobs that come in bursts that nobody can foresee.

It says: a quarter of a lead will be like one of the last. How much it is believed depends on its record: each new
quarter-lead is held to what this expert and the regimes foretold of it a lead before.

Example: 10 jobs came within a quarter-lead. The recent past gave that a probability of 0.05, the regimes one of 0.01:
its log odds rise by ln(5) / 4 = 0.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import Atom, merged
from workers.scaler.forecast.dispersion import Count

if TYPE_CHECKING:
    from collections.abc import Sequence

# Counts are of a quarter of a lead; 160 of them are kept, and what they count for fades to 1/e within 100 of them.
# Judged by simulation: the trace of code completions (docs/scaling.md).
# Example: lead 32 s: the last 21 minutes are remembered, what was 13 minutes ago counts 0.37.
QUARTERS, KEPT, FADES = 4, 160, 100.0
# Log odds of this expert at first; to which they return by FADE each time.
# Example: at -2 it has a weight of 0.12.
PRIOR_ODDS = -2.0
FADE = 0.03
# Share of a judgement that counts, as judgements are not independent of each other, and the most that one may say.
# Example: a count that the recent past thinks 1000 times as likely (6.9) adds 3 / 4.
SHARE, MOST = 0.25, 3.0
# Width of the classes of rates that a judgement needs, as a logarithm. Design: it keeps the memory small.
_COARSE = 0.25


@dataclass(frozen=True, slots=True)
class Recent:
    """The last counts, oldest first, and the record: the log odds against the regimes, and what can't be judged yet."""

    counts: tuple[Count, ...] = ()
    odds: float = PRIOR_ODDS
    pending: tuple[tuple[Atom, ...], ...] = ()  # what the regimes foretold of the next quarter-leads
    atoms: tuple[Atom, ...] = ()  # the rates of the past, as they are expected again

    @property
    def weight(self) -> float:
        """The probability that is given to this expert."""
        return 1 / (1 + math.exp(-self.odds)) if self.counts else 0.0

    def observe(self, jobs: int, length_s: float, regimes: Sequence[Atom], dispersion: float) -> Recent:
        """Returns it after another quarter-lead. `regimes` is what they foretell of the one that ends a lead later."""
        odds, pending = self.odds, self.pending
        if len(pending) == QUARTERS:
            first, *rest = pending
            pending = tuple(rest)
            own = _again(self.counts[: 1 - QUARTERS])
            said = _likelihood(own, jobs, length_s, dispersion) - _likelihood(first, jobs, length_s, dispersion)
            odds += FADE * (PRIOR_ODDS - odds) + SHARE * max(-MOST, min(MOST, said))
        counts = (*self.counts, Count(jobs, length_s))[-KEPT:]
        return Recent(counts, odds, (*pending, merged(regimes, _COARSE)), _again(counts))


def _again(counts: Sequence[Count]) -> tuple[Atom, ...]:
    """Returns the rates of the past as they are expected again."""
    last = len(counts) - 1
    return merged(
        [Atom(math.exp((n - last) / FADES), count.jobs / count.length_s, 0.0) for n, count in enumerate(counts)]
    )


def _likelihood(atoms: Sequence[Atom], jobs: int, length_s: float, dispersion: float) -> float:
    """Returns the logarithm of the probability of so many jobs, up to a summand: a Gamma-Poisson mixture's."""
    found = []
    for weight, rate, spread in atoms:
        # A rate of no jobs at all must not be ruled out for ever by one.
        mean = rate * length_s + 0.25
        variance = max((spread * length_s) ** 2 + max(dispersion - 1, 0.0) * mean, 1e-6 * mean * mean)
        shape, over = mean * mean / variance, variance / mean
        found.append(
            math.log(weight)
            + math.lgamma(shape + jobs)
            - math.lgamma(shape)
            + jobs * math.log(over / (1 + over))
            - shape * math.log1p(over)
        )
    best = max(found)
    return best + math.log(math.fsum(math.exp(one - best) for one in found))
