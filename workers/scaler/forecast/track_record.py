"""Which experts have foretold well: each says what it expects when an order of now is ready, and is held to what came.

The judgement is the logarithm of the probability that an expert gave to the number of jobs in a quarter of a lead,
which it foretold a lead before. Older judgements fade, so that an expert that was wrong is heard again (Herbster and
Warmuth, "Tracking the best expert", 1998).

Example: 10 jobs came within a quarter-lead. One expert gave that a probability of 0.1, another one of 0.01: the second
one's weight falls by a factor of exp(0.25 * ln(0.1)) = 0.56.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import Atom, log_likelihood, mean, merged, mixture

if TYPE_CHECKING:
    from collections.abc import Sequence

# How many quarters a lead has. Design.
# Example: with a lead of 32 s jobs are counted for 8 s each.
QUARTERS = 4
# Share of a score that is lost with each judgement. Judged by simulation: `--load step:0.2,2@600,0.2@1200`.
# Example: after 70 judgements, which are 17 leads, an old one counts half (0.99^70 = 0.49).
FADE = 0.01
# Share of a judgement that counts, as judgements are not independent of each other, and the most that one may say.
# Judged by simulation: the trace of code completions (docs/scaling.md).
# Example: a count that the best expert thinks 10,000 times as likely (9.2) takes 6 / 4 off, a weight of 0.22.
SHARE, MOST = 0.25, 6.0
# A season is judged only where its mean is another than that of all others together, by a factor of DISPUTED, after
# DISPUTED_JOBS were added to both; and it is held to what all others said. Its score stays within LIMITS. Judged by
# simulation: `--load days:2,3600`.
# Example: it says 5 jobs and the others none: 6 / 1 is a dispute. If 5 come, it gets 0.25 times up to MOST.
DISPUTED, DISPUTED_JOBS, LIMITS = 1.5, 1.0, (-2.0, 8.0)
# Jobs that are added to what was foretold: an expert of no jobs at all must not be ruled out for ever by one. Design.
# Example: nothing was foretold and one job came: it had a probability of 0.2, not of 0.
_SLACK_JOBS = 0.25
# Least variance that an expert has, as a share of its squared mean. Design: to avoid dividing by zero.
# Example: an expert that is sure of 10 jobs is taken for a Poisson process of that mean.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """The logarithms of the experts' weights, those of seasons, and what all foretold that can't be judged yet.

    `pending` begins with the oldest. Without a judgement a logarithm is 0.
    """

    scores: tuple[float, ...]
    seasons: tuple[float, ...] = ()
    pending: tuple[tuple[tuple[Atom, ...], ...], ...] = ()

    def weights(self, priors: Sequence[float], season: float = 0.0) -> list[float]:
        """Returns the probability of each expert, whose weights had these logarithms at first; then of each season.

        A season's had the logarithm `season`, where all experts together count as 1.
        """
        found = [score + prior for score, prior in zip(self.scores, priors, strict=True)]
        best, odds = max(found), [math.exp(score + season) for score in self.seasons]
        weights = [math.exp(one - best) for one in found]
        total, all_odds = math.fsum(weights), 1 + math.fsum(odds)
        return [weight / total / all_odds for weight in weights] + [one / all_odds for one in odds]

    def observe(
        self, jobs: int, length_s: float, dispersion: float, shares: Sequence[float], said: Sequence[Sequence[Atom]]
    ) -> TrackRecord:
        """Returns it after another quarter-lead.

        `said` is what each expert, and then each season, says of the quarter-lead that ends a lead later. `shares` are
        their present probabilities.
        """
        pending = (*self.pending, tuple([merged(atoms) for atoms in said]))
        if len(pending) <= QUARTERS:
            return replace(self, pending=pending)
        likely = partial(_likelihood, jobs, length_s, dispersion)
        experts, periods = pending[0][: len(self.scores)], pending[0][len(self.scores) :]
        found, together, seasons = [likely(atoms) for atoms in experts], mixture(shares, experts), list(self.seasons)
        best = max(found)
        scores = [(1 - FADE) * old - SHARE * min(MOST, best - one) for old, one in zip(self.scores, found, strict=True)]
        for n, atoms in enumerate(periods):
            one, other = (mean(foretold) * length_s + DISPUTED_JOBS for foretold in (atoms, together))
            if atoms and abs(math.log(one / other)) >= math.log(DISPUTED):
                gain = min(max(likely(atoms) - likely(together), -MOST), MOST)
                seasons[n] = min(max((1 - FADE) * seasons[n] + SHARE * gain, LIMITS[0]), LIMITS[1])
        return TrackRecord(tuple(scores), tuple(seasons), pending[1:])


def _likelihood(jobs: int, length_s: float, dispersion: float, atoms: Sequence[Atom]) -> float:
    """Returns the logarithm of the probability of so many jobs, up to a summand."""
    # More evenly than by chance: as if each job were several, which come by chance.
    unit = min(1.0, dispersion)
    count, found = jobs / unit, []
    for weight, rate, spread in atoms:
        mean = (rate * length_s + _SLACK_JOBS) / unit
        variance = (spread * length_s / unit) ** 2 + max(dispersion - 1, 0.0) * mean
        over = max(variance / mean, _LEAST_VARIANCE * mean)
        found.append(math.log(weight) + log_likelihood(count, mean / over, over))
    best = max(found)
    return best + math.log(math.fsum(math.exp(one - best) for one in found))
