"""Which fits have foretold well: each says what it expects when an order of now is ready, and is judged by what came.

The judgement is a quasi-likelihood: the likelihood of the number of jobs that came, as of a Poisson process, whose
logarithm is divided by the dispersion. Older judgements fade. Experts' advice is weighed in this way (Herbster and
Warmuth, "Tracking the best expert", 1998).

Example: 18 jobs came; one fit foretold 18 and another 9. The logarithms of their likelihoods (without what both have in
common) are 18 ln(18.25) - 18.25 = 34.0 and 18 ln(9.25) - 9.25 = 30.8. The first, the best, gets a score of 0 and the
second one of -3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast.windows import WINDOWS_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.forecast.windows import WindowFit

# Length of the time that is foretold, as a share of the lead; the lead's end is its middle. Judged by simulation:
# `--load ramping`.
# Example: with a lead of 30 s the fits foretell the 18 s from 21 s to 39 s ahead.
SPAN = 0.6
# Its least length in seconds: shorter spans hold next to no jobs. Judged by simulation: `--load ramping --startup 5`.
# Example: with a lead of 6 s it is 6 s, not 3.6 s.
_LEAST_SPAN_S = 6.0
# Share of a score that is left after each new judgement. Judged by simulation: `--load step:0.2,2@600,0.2@1200`.
# Example: after 14 judgements an old one counts half (0.95^14 = 0.49).
MEMORY = 0.95
# Least index of dispersion that a judgement is divided by: no single one may decide everything. Design.
# Example: for a clock, whose index is 0.005, errors count 20-fold and not 200-fold.
_LEAST_DISPERSION = 0.05
# Jobs that are added to what was foretold: a fit of no jobs at all must not be ruled out for ever by one. Design.
# Example: nothing was foretold and one job came: ln(0.25) - 0.25 = -1.6, not minus infinity.
_SLACK_JOBS = 0.25
# Least score: however wrong a fit was, it is heard again soon once it is right. Design.
# Example: 45 judgements later a score of -100 has faded to -10.
_WORST = -100.0


class Foretold(NamedTuple):
    """What every fit said at `at_s` of the time from `from_s` to `to_s`: pairs of rate and trend.

    `before` is the number of all jobs at `from_s`; None until then.
    """

    at_s: float
    from_s: float
    to_s: float
    before: int | None
    lines: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """How well each fit has foretold.

    `scores` are logarithms of weights, the best is 0: for each window, the shortest first, its constant's and its
    line's. `foretold` is what can't be judged yet.
    """

    scores: tuple[float, ...] = (0.0,) * (2 * len(WINDOWS_S))
    foretold: tuple[Foretold, ...] = ()

    def observe(
        self, now_s: float, total: int, lead_s: float, dispersion: float, fits: Sequence[WindowFit]
    ) -> TrackRecord:
        """Judges what is over, and asks all fits anew if it is time. `total` is the number of all jobs so far."""
        scores, left = self.scores, []
        for one in self.foretold:
            if one.from_s <= now_s and one.before is None:
                left.append(one._replace(from_s=now_s, before=total))
            elif one.before is not None and one.to_s <= now_s:
                scores = _judge(scores, one, now_s, total - one.before, dispersion)
            else:
                left.append(one)
        span_s = max(_LEAST_SPAN_S, SPAN * lead_s)
        if not left or now_s - left[-1].at_s >= span_s:
            lines = tuple([line for fit in fits for line in ((fit.level, 0.0), (fit.rate, fit.trend))])
            from_s = now_s + max(0.0, lead_s - span_s / 2)
            left.append(Foretold(now_s, from_s, from_s + span_s, None, lines))
        return TrackRecord(scores, tuple(left))


def _judge(
    scores: tuple[float, ...], foretold: Foretold, now_s: float, jobs: int, dispersion: float
) -> tuple[float, ...]:
    """Returns the scores after `jobs` came from `foretold.from_s` until now."""
    passed_s, middle_s = now_s - foretold.from_s, (foretold.from_s + now_s) / 2 - foretold.at_s
    spread = max(dispersion, _LEAST_DISPERSION)
    new = []
    for score, (rate, trend) in zip(scores, foretold.lines, strict=True):
        mean = max(0.0, passed_s * (rate + trend * middle_s)) + _SLACK_JOBS
        new.append(MEMORY * score + (jobs * math.log(mean) - mean) / spread)
    best = max(new)
    return tuple([max(score - best, _WORST) for score in new])
