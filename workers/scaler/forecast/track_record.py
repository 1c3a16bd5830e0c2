"""Which experts have foretold well: each says what it expects when an order of now is ready, and is held to what came.

The judgement is the logarithm of the probability that an expert gave to the number of jobs in a quarter of a lead,
which it foretold a lead before, less that of all but the seasons together. Older judgements fade, so that an expert
that was wrong is heard again (Herbster and Warmuth, "Tracking the best expert", 1998).

Example: 10 jobs came within a quarter-lead. All together gave that a probability of 0.1, one expert 0.01: its weight
falls by a factor of exp(0.5 * ln(0.1)) = 0.32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import Atom, differ, log_likelihood, mean, merged, mixture

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
# Example: a count that all together think 10,000 times as likely (9.2) takes 3 / 2 off, a weight of 0.22.
SHARE, MOST = 0.5, 3.0
# A season is held to what all other experts say, and its score is at least 0 and at most this: so it is soon unlearnt.
# Judged by simulation: `--load days:2,3600`.
# Example: it was right each morning for a month. On a holiday three judgements of -2 * 3 * 0.5 are enough for it to
# be silent.
MOST_SCORE = 8.0
# Jobs that are added to what was foretold: an expert of no jobs at all must not be ruled out for ever by one. Design.
# Example: nothing was foretold and one job came: it had a probability of 0.2, not of 0.
_SLACK_JOBS = 0.25
# Least variance that an expert has, as a share of its squared mean. Design: to avoid dividing by zero.
# Example: an expert that is sure of 10 jobs is taken for a Poisson process of that mean.
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """The logarithms of the experts' weights, and what all foretold that can't be judged yet, the oldest first.

    Seasons are the last. Without a judgement a logarithm is 0.
    """

    scores: tuple[float, ...]
    seasons: int = 0
    pending: tuple[tuple[tuple[Atom, ...], ...], ...] = ()

    def weights(self, priors: Sequence[float]) -> list[float]:
        """Returns the probability of each expert, whose weights had these logarithms at first."""
        found = [score + prior for score, prior in zip(self.scores, priors, strict=True)]
        best = max(found)
        weights = [math.exp(one - best) for one in found]
        total = math.fsum(weights)
        return [weight / total for weight in weights]

    def observe(
        self, jobs: int, length_s: float, dispersion: float, shares: Sequence[float], said: Sequence[Sequence[Atom]]
    ) -> TrackRecord:
        """Returns it after another quarter-lead.

        `said` is what each expert says of the quarter-lead that ends a lead later: one that says nothing is not judged
        by it. `shares` are their present probabilities.
        """
        pending = (*self.pending, tuple([merged(atoms) for atoms in said]))
        if len(pending) <= QUARTERS:
            return replace(self, pending=pending)
        likely, first = partial(_likelihood, jobs, length_s, dispersion), len(self.scores) - self.seasons
        others = mixture(shares, pending[0][:first])
        usual, rate, scores = likely(others), mean(others), list(self.scores)
        for n, atoms in enumerate(pending[0]):
            if n < first:
                gain = likely(atoms) - usual if atoms else 0.0
                scores[n] = (1 - FADE) * scores[n] + SHARE * min(max(gain, -MOST), MOST)
            elif atoms and differ(mean(atoms), rate, 1 / length_s):
                # Two experts may differ by twice MOST. Where a season says what all say it forgets nothing.
                gain = min(max(likely(atoms) - usual, -2 * MOST), 2 * MOST)
                scores[n] = min(max((1 - FADE) * scores[n] + SHARE * gain, 0.0), MOST_SCORE)
        return replace(self, scores=tuple(scores), pending=pending[1:])


def _likelihood(jobs: int, length_s: float, dispersion: float, atoms: Sequence[Atom]) -> float:
    """Returns the logarithm of the probability of so many jobs, up to a summand."""
    # More evenly than by chance: as if each job were several, which come by chance.
    count, found = jobs / dispersion, []
    for weight, rate, spread in atoms:
        mean = (rate * length_s + _SLACK_JOBS) / dispersion
        over = max((spread * length_s / dispersion) ** 2 / mean, _LEAST_VARIANCE * mean)
        found.append(math.log(weight) + log_likelihood(count, mean / over, over))
    best = max(found)
    return best + math.log(math.fsum(math.exp(one - best) for one in found))
