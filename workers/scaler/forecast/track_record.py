"""Which fits have foretold well: what each says of the time when an order placed now is ready, judged once it is over.

The judgement is a quasi-likelihood of the jobs that came then, as of a Poisson process whose counts vary more or less
by the dispersion; older judgements fade. It is how experts' advice is weighed (Herbster and Warmuth, "Tracking the
best expert", 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from workers.scaler.forecast.windows import WINDOWS_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.forecast.windows import Fit

# The time that is foretold, as a share of the lead.
SPAN = 0.6
MEMORY = 0.95
_LEAST_SPAN_S = 6.0
_LEAST_DISPERSION = 0.05
# Added to what is foretold: a fit of no jobs at all must not be ruled out for ever by one.
_SLACK_JOBS = 0.25
# However wrong one was: what is right from now on must be heard again soon.
_WORST = -100.0


class Told(NamedTuple):
    """What every fit said at `at_s` of the rate from `from_s` to `to_s`; `before` is the number of jobs at `from_s`."""

    at_s: float
    from_s: float
    to_s: float
    before: int | None
    lines: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Hindsight:
    """`scores` are logarithms, the best is 0: of each window, shortest first, its constant and its line."""

    scores: tuple[float, ...] = (0.0,) * (2 * len(WINDOWS_S))
    told: tuple[Told, ...] = ()

    def seen(self, now_s: float, total: int, lead_s: float, dispersion: float, fits: Sequence[Fit]) -> Hindsight:
        """Judges what is over, and asks anew when it is time. `total` is the number of all jobs so far."""
        scores, left = self.scores, []
        for told in self.told:
            if told.from_s <= now_s and told.before is None:
                left.append(told._replace(from_s=now_s, before=total))
            elif told.before is not None and told.to_s <= now_s:
                scores = _judged(scores, told, now_s, total - told.before, dispersion)
            else:
                left.append(told)
        span_s = max(_LEAST_SPAN_S, SPAN * lead_s)
        if not left or now_s - left[-1].at_s >= span_s:
            lines = tuple([line for fit in fits for line in ((fit.level, 0.0), (fit.rate, fit.trend))])
            from_s = now_s + max(0.0, lead_s - span_s / 2)
            left.append(Told(now_s, from_s, from_s + span_s, None, lines))
        return Hindsight(scores, tuple(left))


def _judged(scores: tuple[float, ...], told: Told, now_s: float, jobs: int, dispersion: float) -> tuple[float, ...]:
    passed_s, middle_s = now_s - told.from_s, (told.from_s + now_s) / 2 - told.at_s
    spread = max(dispersion, _LEAST_DISPERSION)
    new = []
    for score, (rate, trend) in zip(scores, told.lines, strict=True):
        mean = max(0.0, passed_s * (rate + trend * middle_s)) + _SLACK_JOBS
        new.append(MEMORY * score + (jobs * math.log(mean) - mean) / spread)
    best = max(new)
    return tuple([max(score - best, _WORST) for score in new])
