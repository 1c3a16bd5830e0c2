"""How long things take: start-ups and services, from a constant, a distribution or a file of observations."""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bench.common.arrivals import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Draw: TypeAlias = Callable[[np.random.Generator, int], NDArray[np.float64]]

KINDS = {
    "constant": "SECONDS: always the same",
    "lognormal": "lognormal:MEAN,CV: mean in seconds, and the standard deviation as a share of it",
    "exponential": "exponential:MEAN: mean in seconds",
    "csv": "csv:FILE: drawn from the first column of a CSV file (or .csv.gz) with a header",
}
_LONGEST_S = 1e6


@dataclass(frozen=True, slots=True)
class Times:
    """A distribution of durations in seconds: `draw(generator, count)` gives independent ones, all positive."""

    mean_s: float
    draw: Draw


def constant(seconds: float) -> Times:
    """Always the same."""
    return Times(seconds, lambda _, count: np.full(count, seconds))


def lognormal(mean_s: float, cv: float) -> Times:
    """By its mean and its coefficient of variation."""
    variance = math.log1p(cv**2)
    mu, sigma = math.log(mean_s) - variance / 2, math.sqrt(variance)
    return Times(mean_s, lambda generator, count: generator.lognormal(mu, sigma, count))


def exponential(mean_s: float) -> Times:
    """By its mean."""
    return Times(mean_s, lambda generator, count: generator.exponential(mean_s, count))


def observed(seconds: Sequence[float]) -> Times:
    """Each observation is as likely as the others."""
    return Times(sum(seconds) / len(seconds), lambda generator, count: generator.choice(np.array(seconds), count))


def parse(text: str) -> Times:
    """From a text as in `KINDS`; raises LoadError."""
    kind, colon, rest = text.partition(":")
    if kind == "csv" and colon:
        return observed(_read(Path(rest)))
    try:
        numbers = [float(number) for number in (rest if colon else text).split(",")]
        if all(0 < number <= _LONGEST_S for number in numbers):
            return _MAKERS[kind if colon else "constant"](*numbers)
    except (ValueError, KeyError, TypeError):
        pass
    raise LoadError(f"{text!r} is none of: {'; '.join(KINDS.values())} (numbers above 0, at most {_LONGEST_S:g})")


def _read(path: Path) -> list[float]:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
            seconds = [float(row[0]) for row in list(csv.reader(lines))[1:] if row]
    except (OSError, ValueError, EOFError) as error:
        raise LoadError(f"{path} can't be read as a CSV file of durations ({error})") from error
    if not seconds or not all(0 < second <= _LONGEST_S for second in seconds):
        raise LoadError(f"{path} needs durations above 0 and at most {_LONGEST_S:g} s behind its header")
    return seconds


_MAKERS: dict[str, Callable[..., Times]] = {"constant": constant, "lognormal": lognormal, "exponential": exponential}
