"""The recent past as an expert, for jobs that come in bursts that nobody can foresee.

It says: a quarter of a lead will be like one of the last.

Example: of the last 100 quarter-leads 5 had 40 jobs each, the others none: 40 jobs are expected with a probability of
0.05, whatever came last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.scaler.forecast.atoms import Atom, merged
from workers.scaler.forecast.dispersion import Count
from workers.scaler.forecast.track_record import FADE

if TYPE_CHECKING:
    from collections.abc import Sequence

# Number of quarter-leads that are kept. What they count for fades as judgements do. Design: the oldest counts 0.2.
# Example: lead 32 s: the last 21 minutes are remembered, what was 13 minutes ago counts 0.37.
KEPT = 160


def recent(counts: Sequence[Count]) -> tuple[Atom, ...]:
    """Returns the rates of the past, as they are expected again; `counts` are of quarter-leads, oldest first."""
    last = len(counts) - 1
    return merged([Atom((1 - FADE) ** (last - n), count.jobs / count.length_s, 0.0) for n, count in enumerate(counts)])


def leads(counts: Sequence[Count], quarters: int) -> list[Count]:
    """Returns the counts of leads of so many quarters; one ends with each of `counts`, and the first are shorter."""
    ones = [counts[max(0, n - quarters) : n] for n in range(1, len(counts) + 1)]
    return [Count(sum([count.jobs for count in one]), sum([count.length_s for count in one])) for one in ones]
