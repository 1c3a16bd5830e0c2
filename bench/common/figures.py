"""Figures of several rounds: medians, spread, ratios, percentiles, and the bars they are held against."""

from __future__ import annotations

import operator
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of some rounds' figures, and the least and the most of them."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio between two figures of the same run, and how it is wanted to be."""

    name: str
    what: str
    ratio: Summary
    wanted: float
    sense: Literal[">=", "<", "<="] = ">="

    @property
    def met(self) -> bool:
        """By the median of the rounds' ratios."""
        compare = {">=": operator.ge, "<": operator.lt, "<=": operator.le}[self.sense]
        return bool(compare(self.ratio.median, self.wanted))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def summary(figures: Sequence[float]) -> Summary:
    """Of at least one figure."""
    return Summary(statistics.median(figures), min(figures), max(figures))


def percentiles(figures: Sequence[float] | NDArray[np.float64], percents: Sequence[float]) -> list[float]:
    """For each of `percents`, the smallest figure that so many per cent do not exceed (nearest rank); NaN of none."""
    if not len(figures):
        return [np.nan] * len(percents)
    return [float(found) for found in np.percentile(figures, percents, method="inverted_cdf")]


def percentile(figures: Sequence[float], percent: float) -> float:
    """A single one."""
    return percentiles(figures, [percent])[0]


def ratios(of: Sequence[float], to: Sequence[float]) -> Summary:
    """Round by round: what two programs did within the same minute is compared, not what the machine did between."""
    return summary([a / b for a, b in zip(of, to, strict=True)])
