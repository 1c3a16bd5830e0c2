"""When jobs arrive: load shapes, arrival processes and traces, for the load generator and the simulator alike.

A load is a text: a shape's name, its numbers behind a colon, and perhaps a factor: `constant:2`, `ramping*3`,
`step:0.2,2@600`, `trace:FILE`. `SHAPES` describes them all.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

Process: TypeAlias = Literal["deterministic", "poisson"]
PROCESSES: tuple[Process, ...] = ("deterministic", "poisson")
MAX_JOBS = 5_000_000
SHAPES = {
    "constant": "constant:RATE: jobs/s all the time",
    "ramping": "ramping: from 0.1 to 1 job/s, as a line: 0.1 + 0.9 u, with u = elapsed / duration",
    "spike": "spike: 1.1 jobs/s at first, soon little: 1.1 - u^(1/8)",
    "ramp-steady": "ramp-steady: from 0.1 to 1 job/s in half of the time, then 1 job/s: min(1.8 u + 0.1, 1)",
    "step": "step:RATE,RATE@SECOND,...: another rate from each second on",
    "burst": "burst:RATE,PEAK,PERIOD_S,LENGTH_S: PEAK jobs/s in the last LENGTH_S of each PERIOD_S, else RATE",
    "sine": "sine:MEAN,AMPLITUDE,PERIOD_S: MEAN + AMPLITUDE sin(2 pi t / PERIOD_S) jobs/s, with AMPLITUDE <= MEAN",
    "trace": "trace:FILE: arrivals as in a CSV file (or .csv.gz) with the header arrival_s or arrival_s,service_s",
}
# Halvings of the duration until an arrival's time is as exact as a float gets.
_HALVINGS = 60


class LoadError(Exception):
    """Why a load can't be had, in one sentence."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job: seconds since the run's begin, and how long its service takes if a trace says so."""

    at_s: float
    service_s: float | None = None


class Shape(ABC):
    """A rate over time, in jobs/s and seconds."""

    def rate(self, t_s: float, duration_s: float) -> float:
        """At `t_s` of a run of `duration_s`, 0 outside of it."""
        return float(self._rate(t_s, duration_s)) if 0 <= t_s <= duration_s else 0.0

    @abstractmethod
    def _rate(self, t_s: float, duration_s: float) -> float: ...

    @abstractmethod
    def integral(self, t_s: Floats, duration_s: float) -> Floats:
        """How many jobs are expected until each of the times, which lie within the run."""


@dataclass(frozen=True, slots=True)
class Ramping(Shape):
    """0.1 + 0.9 u."""

    def _rate(self, t_s: float, duration_s: float) -> float:
        return 0.1 + 0.9 * t_s / duration_s

    def integral(self, t_s: Floats, duration_s: float) -> Floats:
        u = t_s / duration_s
        return duration_s * (0.1 * u + 0.45 * u**2)


@dataclass(frozen=True, slots=True)
class Spike(Shape):
    """1.1 - u^(1/8)."""

    def _rate(self, t_s: float, duration_s: float) -> float:
        return float(1.1 - (t_s / duration_s) ** 0.125)

    def integral(self, t_s: Floats, duration_s: float) -> Floats:
        u = t_s / duration_s
        return duration_s * (1.1 * u - u**1.125 / 1.125)


@dataclass(frozen=True, slots=True)
class RampSteady(Shape):
    """min(1.8 u + 0.1, 1)."""

    def _rate(self, t_s: float, duration_s: float) -> float:
        return min(1.8 * t_s / duration_s + 0.1, 1.0)

    def integral(self, t_s: Floats, duration_s: float) -> Floats:
        u = t_s / duration_s
        ramp = np.minimum(u, 0.5)
        return duration_s * (0.1 * ramp + 0.9 * ramp**2 + (u - ramp))


@dataclass(frozen=True, slots=True)
class Steps(Shape):
    """`rates[i]` from `starts_s[i]` on; the first starts at 0. A single one is a constant rate."""

    rates: tuple[float, ...]
    starts_s: tuple[float, ...]

    def _rate(self, t_s: float, _duration_s: float) -> float:
        return next(rate for rate, start in zip(self.rates[::-1], self.starts_s[::-1], strict=True) if start <= t_s)

    def integral(self, t_s: Floats, _duration_s: float) -> Floats:
        total = np.zeros(t_s.shape)
        for rate, start, end in zip(self.rates, self.starts_s, (*self.starts_s[1:], math.inf), strict=True):
            total += rate * (np.clip(t_s, start, end) - start)
        return total


@dataclass(frozen=True, slots=True)
class Burst(Shape):
    """`peak` in the last `length_s` of each `period_s`, `base` before."""

    base: float
    peak: float
    period_s: float
    length_s: float

    def _rate(self, t_s: float, _duration_s: float) -> float:
        return self.base if t_s % self.period_s < self.period_s - self.length_s else self.peak

    def integral(self, t_s: Floats, _duration_s: float) -> Floats:
        calm_s = self.period_s - self.length_s
        periods, rest = np.divmod(t_s, self.period_s)
        whole = self.base * calm_s + self.peak * self.length_s
        return periods * whole + self.base * np.minimum(rest, calm_s) + self.peak * np.maximum(rest - calm_s, 0)


@dataclass(frozen=True, slots=True)
class Sine(Shape):
    """`mean` + `amplitude` sin(2 pi t / `period_s`)."""

    mean: float
    amplitude: float
    period_s: float

    def _rate(self, t_s: float, _duration_s: float) -> float:
        return self.mean + self.amplitude * math.sin(2 * math.pi * t_s / self.period_s)

    def integral(self, t_s: Floats, _duration_s: float) -> Floats:
        angular = 2 * math.pi / self.period_s
        return self.mean * t_s + self.amplitude / angular * (1 - np.cos(angular * t_s))


@dataclass(frozen=True, slots=True)
class Load:
    """What `parse` makes of `text`: a shape times a factor, or a trace."""

    text: str
    shape: Shape | None
    factor: float = 1.0
    trace: tuple[Arrival, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def is_trace(self) -> bool:
        """Whether it has a length and times of its own."""
        return self.shape is None

    def rate(self, t_s: float, duration_s: float) -> float:
        """Jobs/s at `t_s`. Raises LoadError for a trace: it has arrivals, and no rate."""
        if self.shape is None:
            raise LoadError("a trace has no rate")
        return self.factor * self.shape.rate(t_s, duration_s)

    def expected(self, duration_s: float) -> float:
        """How many jobs are expected within the duration, on the average; of a trace, how many there are."""
        if self.shape is None:
            return float(sum(arrival.at_s <= duration_s for arrival in self.trace))
        return self.factor * float(self.shape.integral(np.array([float(duration_s)]), duration_s)[0])


def parse(text: str) -> Load:
    """The load that a text names, its trace read. Raises LoadError."""
    name, _, rest = text.strip().partition(":")
    if name == "trace":
        return Load(text.strip(), None, trace=tuple(read_trace(Path(rest))))
    body, star, factor = text.strip().partition("*")
    name, _, numbers = (part.strip() for part in body.partition(":"))
    if name not in _READERS:
        raise LoadError(f"there is no load {name!r}: it is one of {', '.join(SHAPES)}")
    shape = _READERS[name](numbers)
    return Load(text.strip(), shape, _number(factor, "the factor") if star else 1.0)


def arrivals(load: Load, duration_s: float | None, process: Process, seed: int) -> list[Arrival]:
    """All jobs of a run, in the order of their times.

    Deterministic: job k arrives when the integral of the rate reaches k. Poisson: when a sum of k exponential
    variates of mean 1 reaches it, which is exact for any rate; the same seed gives the same times. A trace is taken
    as it is, up to the duration; None is all of it. Raises LoadError.
    """
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise LoadError(f"a duration must be a positive number of seconds, not {duration_s:g}")
    if load.shape is None:
        return [arrival for arrival in load.trace if duration_s is None or arrival.at_s <= duration_s]
    if duration_s is None:
        raise LoadError(f"the load {load} needs a duration")
    expected = load.expected(duration_s)
    if expected > MAX_JOBS:
        raise LoadError(f"{load} for {duration_s:g} s is {expected:,.0f} jobs, more than {MAX_JOBS:,}")
    if process == "poisson":
        marks = _exponential_sums(expected, seed)
    else:
        # A whole number of jobs must not become one less by rounding.
        marks = np.arange(1, math.floor(expected * (1 + 1e-12) + 1e-9) + 1, dtype=np.float64)
    return [Arrival(at_s) for at_s in _inverse(load.shape, marks / load.factor, duration_s).tolist()]


def _exponential_sums(below: float, seed: int) -> Floats:
    if seed < 0:
        raise LoadError(f"a seed must not be negative, as {seed} is")
    generator = np.random.Generator(np.random.PCG64(seed))
    sums = np.cumsum(generator.standard_exponential(round(below + 10 * math.sqrt(below)) + 10))
    while sums[-1] < below:  # once in a great many seeds
        sums = np.append(sums, sums[-1] + np.cumsum(generator.standard_exponential(100)))
    return sums[sums < below]


def _inverse(shape: Shape, marks: Floats, duration_s: float) -> Floats:
    """The first times at which the integral reaches the marks, by bisection of all of them at once."""
    low, high = np.zeros_like(marks), np.full_like(marks, duration_s)
    for _ in range(_HALVINGS if len(marks) else 0):
        middle = (low + high) / 2
        reached = shape.integral(middle, duration_s) >= marks
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    return np.maximum.accumulate(high)


def read_trace(path: Path) -> list[Arrival]:
    """The arrivals of a trace file, sorted. Raises LoadError, which names the line."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as lines:
            found = _rows(path, lines)
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise LoadError(f"the trace {str(path)!r} can't be read: {error}") from error
    return sorted(found, key=lambda arrival: arrival.at_s)


def _rows(path: Path, lines: Iterable[str]) -> list[Arrival]:
    rows = csv.reader(lines)
    header = [name.strip() for name in next(rows, [])]
    if "arrival_s" not in header:
        raise LoadError(f"the trace {str(path)!r} has no column arrival_s: its first line has to name its columns")
    arrival, service = header.index("arrival_s"), header.index("service_s") if "service_s" in header else None
    found = []
    for row in rows:
        if not row:
            continue
        where = f"the trace {str(path)!r}, line {rows.line_num}: "
        if len(row) != len(header):
            raise LoadError(f"{where}{len(row)} columns, where the first line has {len(header)}")
        service_text = row[service].strip() if service is not None else ""
        service_s = _number(service_text, f"{where}service_s") if service_text else None
        found.append(Arrival(_number(row[arrival], f"{where}arrival_s"), service_s))
        if len(found) > MAX_JOBS:
            raise LoadError(f"the trace {str(path)!r} has more than {MAX_JOBS:,} jobs")
    return found


def _number(text: str, what: str, least: float = 0.0) -> float:
    """A finite number of at least `least`. Raises LoadError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        raise LoadError(f"{what} must be a number of at least {least:g}, not {text.strip()!r}")
    return number


def _numbers(name: str, text: str, whats: tuple[str, ...]) -> list[float]:
    parts = text.split(",") if text else []
    if len(parts) != len(whats):
        raise LoadError(f"{name} takes {', '.join(whats) or 'no numbers'}, and not {text!r}: {SHAPES[name]}")
    return [_number(part, f"{what} of {name}") for part, what in zip(parts, whats, strict=True)]


def _plain(name: str, shape: Shape) -> Callable[[str], Shape]:
    def read(text: str) -> Shape:
        _numbers(name, text, ())
        return shape

    return read


def _constant(text: str) -> Shape:
    return Steps(tuple(_numbers("constant", text, ("RATE",))), (0.0,))


def _step(text: str) -> Shape:
    first, *others = text.split(",")
    rates, starts_s = [_number(first, "the first RATE of step")], [0.0]
    for other in others:
        rate, at, start = other.partition("@")
        if not at:
            raise LoadError(f"{other.strip()!r} lacks the second that it starts at: {SHAPES['step']}")
        rates.append(_number(rate, "RATE of step"))
        starts_s.append(_number(start, "SECOND of step"))
    if any(late <= early for early, late in pairwise(starts_s)):
        raise LoadError("the steps' seconds must rise")
    return Steps(tuple(rates), tuple(starts_s))


def _burst(text: str) -> Shape:
    base, peak, period_s, length_s = _numbers("burst", text, ("RATE", "PEAK", "PERIOD_S", "LENGTH_S"))
    if not 0 < length_s <= period_s:
        raise LoadError("LENGTH_S of burst must be more than 0 and at most PERIOD_S")
    return Burst(base, peak, period_s, length_s)


def _sine(text: str) -> Shape:
    mean, amplitude, period_s = _numbers("sine", text, ("MEAN", "AMPLITUDE", "PERIOD_S"))
    if amplitude > mean or not period_s:
        raise LoadError("AMPLITUDE of sine must be at most MEAN, and PERIOD_S more than 0")
    return Sine(mean, amplitude, period_s)


_READERS: dict[str, Callable[[str], Shape]] = {
    "constant": _constant,
    "ramping": _plain("ramping", Ramping()),
    "spike": _plain("spike", Spike()),
    "ramp-steady": _plain("ramp-steady", RampSteady()),
    "step": _step,
    "burst": _burst,
    "sine": _sine,
}
