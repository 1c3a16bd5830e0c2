"""How long things take: start-ups and services, from a constant, a distribution or a file of observations."""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = {
    "constant": "SECONDS: always the same",
    "lognormal": "lognormal:MEAN,CV: mean in seconds, and the standard deviation as a share of it",
    "exponential": "exponential:MEAN: mean in seconds",
    "csv": "csv:FILE: drawn from the first column of a CSV file (or .csv.gz) with a header",
}
_LONGEST_S = 1e6


class TimesError(Exception):
    """Why a distribution can't be had, in one sentence."""


class Times(Protocol):
    """A distribution of durations in seconds."""

    @property
    def mean_s(self) -> float:
        """Its mean."""

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` independent durations, all positive."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    seconds: float

    @property
    def mean_s(self) -> float:
        return self.seconds

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return np.full(count, self.seconds)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """By its mean and its coefficient of variation."""

    mean_s: float
    cv: float

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        variance = math.log1p(self.cv**2)
        return generator.lognormal(math.log(self.mean_s) - variance / 2, math.sqrt(variance), count)


@dataclass(frozen=True, slots=True)
class Exponential:
    """By its mean."""

    mean_s: float

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return generator.exponential(self.mean_s, count)


@dataclass(frozen=True, slots=True)
class Observed:
    """Each observation is as likely as the others."""

    seconds: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        return sum(self.seconds) / len(self.seconds)

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return generator.choice(np.array(self.seconds), count)


def parse(text: str) -> Times:
    """From a text as in `KINDS`; raises TimesError."""
    kind, colon, rest = text.partition(":")
    if kind == "csv" and colon:
        return _observed(Path(rest))
    try:
        numbers = [float(number) for number in (rest if colon else text).split(",")]
    except ValueError:
        numbers = []
    if not all(0 < number <= _LONGEST_S for number in numbers):
        numbers = []
    match (kind if colon else "constant"), numbers:
        case "constant", [seconds]:
            return Constant(seconds)
        case "lognormal", [mean_s, cv]:
            return Lognormal(mean_s, cv)
        case "exponential", [mean_s]:
            return Exponential(mean_s)
    raise TimesError(f"{text!r} is none of: {'; '.join(KINDS.values())} (numbers above 0, at most {_LONGEST_S:g})")


def _observed(path: Path) -> Observed:
    try:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()
        seconds = tuple(float(row[0]) for row in csv.reader(lines[1:]) if row)
    except OSError as error:
        raise TimesError(f"{path} can't be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise TimesError(f"{path} is not a CSV file of durations ({error})") from error
    if not seconds or not all(0 < second <= _LONGEST_S for second in seconds):
        raise TimesError(f"{path} needs durations above 0 and at most {_LONGEST_S:g} s behind its header")
    return Observed(seconds)
