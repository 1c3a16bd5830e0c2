"""Flat, logarithmic, or faster: a rule, so that nobody has to look at a curve and wish.

Costs are ratios to the cost at the smallest size, round by round; r(n) is the median of the rounds'.

- flat          r at the largest size is at most 1 + the allowance
- logarithmic   otherwise, if a + b log(1 + n) leaves smaller squares than a + b n (least squares, b > 0)
- grows faster  otherwise, so too if there are only two sizes, through which either goes

The allowance is 0.25, or three times the largest median absolute deviation of the rounds' ratios, whichever is
more; and beside that, what the control has grown by (a call that does the same whatever the size: caches serve a
larger memory worse).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.common.figures import Summary, ratios

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLAT = "flat"
LOGARITHMIC = "logarithmic"
FASTER = "grows faster"
ALLOWANCE = 0.25
_DEVIATIONS = 3.0
_EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ratios` has one summary for each size, the smallest's first (it is 1)."""

    word: str
    allowance: float
    ratios: tuple[Summary, ...]


def judge(costs: Mapping[int, Sequence[float]], control: Mapping[int, Sequence[float]]) -> Verdict:
    """By the rule above; `costs` of one operation, and the control's, have for each size one figure a round."""
    sizes = sorted(costs)
    base = costs[sizes[0]]
    rounds = [[cost / least for cost, least in zip(costs[size], base, strict=True)] for size in sizes]
    medians = [statistics.median(one) for one in rounds]
    noise = max(
        statistics.median([abs(ratio - median) for ratio in one]) for one, median in zip(rounds, medians, strict=True)
    )
    grown = ratios(control[sizes[-1]], control[sizes[0]]).median - 1
    allowance = max(ALLOWANCE, _DEVIATIONS * noise) + max(0.0, grown)
    found = tuple(ratios(costs[size], base) for size in sizes)
    if medians[-1] <= 1 + allowance:
        return Verdict(FLAT, allowance, found)
    scale = np.array(sizes, dtype=float)
    logarithmic = _squares(np.log1p(scale), medians) < _squares(scale, medians) - _EXACT
    return Verdict(LOGARITHMIC if logarithmic else FASTER, allowance, found)


def _squares(scale: np.ndarray, medians: Sequence[float]) -> float:
    """What is left of the medians by a straight line over the scale."""
    design = np.column_stack([np.ones_like(scale), scale / scale[-1]])
    line = design @ np.linalg.lstsq(design, np.array(medians), rcond=None)[0]
    return float(np.square(line - medians).sum())
