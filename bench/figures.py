"""Figures of several rounds: medians, spread, ratios, and the bars they are held against."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of some rounds' figures, and the least and the most of them."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio between two figures of the same run, and whether it is at least (or, if `below`, under) `wanted`."""

    name: str
    what: str
    ratio: Summary
    wanted: float
    below: bool = False

    @property
    def met(self) -> bool:
        """By the median of the rounds' ratios."""
        return self.ratio.median < self.wanted if self.below else self.ratio.median >= self.wanted

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def summary(figures: Sequence[float]) -> Summary:
    """Of at least one figure."""
    return Summary(statistics.median(figures), min(figures), max(figures))


def percentile(figures: Sequence[float], percent: float) -> float:
    """The smallest figure that at least `percent` per cent of them do not exceed (nearest rank)."""
    ordered = sorted(figures)
    return ordered[max(0, -(-len(ordered) * percent // 100).__trunc__() - 1)]


def ratios(of: Sequence[float], to: Sequence[float]) -> Summary:
    """Round by round: what two programs did within the same minute is compared, not what the machine did between."""
    return summary([a / b for a, b in zip(of, to, strict=True)])


def best(
    figures: Mapping[str, Sequence[float]], pick: Callable[[list[tuple[float, str]]], tuple[float, str]] = max
) -> str:
    """The name with the best median; `pick=min` where less is better."""
    return pick([(statistics.median(values), name) for name, values in figures.items()])[1]
