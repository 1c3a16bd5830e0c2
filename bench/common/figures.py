"""Percentiles of several figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def percentiles(figures: Sequence[float] | NDArray[np.float64], percents: Sequence[float]) -> list[float]:
    """For each of `percents`, the smallest figure that so many per cent do not exceed (nearest rank); NaN of none."""
    if not len(figures):
        return [np.nan] * len(percents)
    return [float(found) for found in np.percentile(figures, percents, method="inverted_cdf")]


def percentile(figures: Sequence[float], percent: float) -> float:
    """A single one."""
    return percentiles(figures, [percent])[0]
