"""When jobs arrive: load shapes, arrival processes and traces, for the load generator and the simulator alike.

A load is a text: a shape's name, its numbers behind a colon, and perhaps a factor: `constant:2`, `ramping*3`,
`step:0.2,2@600`, `trace:FILE`. `SHAPES` describes them all.
"""

from __future__ import annotations

import csv
import gzip
import inspect
import math
import zlib
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    "burst": "burst:RATE,PEAK,PERIOD_S,LENGTH_S: PEAK jobs/s in the last LENGTH_S of each PERIOD_S, RATE before",
    "sine": "sine:MEAN,AMPLITUDE,PERIOD_S: MEAN + AMPLITUDE sin(2 pi t / PERIOD_S) jobs/s, with AMPLITUDE <= MEAN",
    "days": "days:PEAK,DAY_S: each DAY_S nothing until 8:00, PEAK jobs/s until 17:00 (half of it from 12:00 to 13:00), "
    "a fifth until 22:00",
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


@dataclass(frozen=True, slots=True)
class Shape:
    """A rate over time. Both functions take times within the run, and the run's duration, in seconds."""

    rate: Callable[[float, float], float]  # jobs/s
    integral: Callable[[Floats, float], Floats]  # how many jobs are expected until each of the times


@dataclass(frozen=True, slots=True)
class Workload:
    """What `parse` makes of `text`: a shape times a factor, or a trace, which has no shape."""

    text: str
    shape: Shape | None
    factor: float = 1.0
    trace: tuple[Arrival, ...] = ()

    @property
    def is_trace(self) -> bool:
        """Whether it has a length and times of its own."""
        return self.shape is None

    def rate(self, t_s: float, duration_s: float) -> float:
        """Jobs/s at `t_s`, 0 outside of the run. Raises LoadError for a trace: it has arrivals, and no rate."""
        if self.shape is None:
            raise LoadError("a trace has no rate")
        return float(self.factor * self.shape.rate(t_s, duration_s)) if 0 <= t_s <= duration_s else 0.0

    def expected(self, duration_s: float) -> float:
        """How many jobs a shape brings within the duration on the average; for a trace, how many it has."""
        if self.shape is None:
            return float(len(self.trace))
        return self.factor * float(self.shape.integral(np.array([float(duration_s)]), duration_s)[0])


def parse(text: str) -> Workload:
    """The load that a text names, its trace read. Raises LoadError."""
    name, _, rest = text.strip().partition(":")
    if name == "trace":
        return Workload(text.strip(), None, trace=tuple(read_trace(Path(rest))))
    body, star, factor = text.strip().partition("*")
    name, _, numbers = (part.strip() for part in body.partition(":"))
    if name not in _MAKERS:
        raise LoadError(f"there is no load {name!r}: it is one of {', '.join(SHAPES)}")
    shape = _step(numbers) if name == "step" else _MAKERS[name](*_numbers(name, numbers))
    return Workload(text.strip(), shape, _number(factor, "the factor") if star else 1.0)


def arrivals(load: Workload, duration_s: float | None, process: Process, seed: int) -> list[Arrival]:
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
        raise LoadError(f"the load {load.text} needs a duration")
    expected = load.expected(duration_s)
    if expected > MAX_JOBS:
        raise LoadError(f"{load.text} for {duration_s:g} s is {expected:,.0f} jobs, more than {MAX_JOBS:,}")
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
    what = f"the trace {str(path)!r}"
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines)
            header = [name.strip() for name in next(rows, [])]
            if "arrival_s" not in header:
                raise LoadError(f"{what} has no column arrival_s: its first line has to name its columns")
            kept = islice(filter(None, rows), MAX_JOBS + 1)
            found = [_arrival(header, row, f"{what}, line {rows.line_num}") for row in kept]
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise LoadError(f"{what} can't be read: {error}") from error
    if len(found) > MAX_JOBS:
        raise LoadError(f"{what} has more than {MAX_JOBS:,} jobs")
    return sorted(found, key=lambda arrival: arrival.at_s)


def _arrival(header: Sequence[str], row: Sequence[str], where: str) -> Arrival:
    if len(row) != len(header):
        raise LoadError(f"{where}: {len(row)} columns, where the first line has {len(header)}")
    values = dict(zip(header, row, strict=True))
    service = values.get("service_s", "").strip()
    at_s = _number(values["arrival_s"], f"{where}: arrival_s")
    return Arrival(at_s, _number(service, f"{where}: service_s") if service else None)


def _number(text: str, what: str) -> float:
    """A finite number of at least 0. Raises LoadError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise LoadError(f"{what} must be a number of at least 0, not {text.strip()!r}")
    return number


def _numbers(name: str, text: str) -> list[float]:
    """As many as the maker of the shape takes; its arguments are named as the numbers in SHAPES are."""
    whats = [argument.upper() for argument in inspect.signature(_MAKERS[name]).parameters]
    parts = text.split(",") if text else []
    if len(parts) != len(whats):
        raise LoadError(f"{name} takes {', '.join(whats) or 'no numbers'}, and not {text!r}: {SHAPES[name]}")
    return [_number(part, f"{what} of {name}") for part, what in zip(parts, whats, strict=True)]


def _relative(rate: Callable[[float], float], integral: Callable[[Floats], Floats]) -> Callable[[], Shape]:
    """A shape without numbers, whose rate depends on the share of the duration that is over (u in SHAPES)."""
    return lambda: Shape(
        lambda t_s, duration_s: rate(t_s / duration_s), lambda t_s, duration_s: duration_s * integral(t_s / duration_s)
    )


def _ramp_steady_integral(u: Floats) -> Floats:
    ramp = np.minimum(u, 0.5)
    return 0.1 * ramp + 0.9 * ramp**2 + (u - ramp)


def _steps(rates: Sequence[float], starts_s: Sequence[float]) -> Shape:
    """`rates[i]` from `starts_s[i]` on; the first starts at 0."""
    ends_s = (*starts_s[1:], math.inf)
    steps = list(zip(rates, starts_s, ends_s, strict=True))
    return Shape(
        lambda t_s, _: next(rate for rate, _, end in steps if t_s < end),
        lambda t_s, _: sum((rate * (np.clip(t_s, start, end) - start) for rate, start, end in steps), np.zeros(1)),
    )


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
    return _steps(rates, starts_s)


def _burst(rate: float, peak: float, period_s: float, length_s: float) -> Shape:
    if not 0 < length_s <= period_s:
        raise LoadError("LENGTH_S of burst must be more than 0 and at most PERIOD_S")
    calm_s = period_s - length_s

    def integral(t_s: Floats, _duration_s: float) -> Floats:
        periods, rest = np.divmod(t_s, period_s)
        each = rate * calm_s + peak * length_s
        return periods * each + rate * np.minimum(rest, calm_s) + peak * np.maximum(rest - calm_s, 0)

    return Shape(lambda t_s, _: rate if t_s % period_s < calm_s else peak, integral)


def _days(peak: float, day_s: float) -> Shape:
    if not day_s:
        raise LoadError("DAY_S of days must be more than 0")
    day = _steps([0.0, peak, peak / 2, peak, peak / 5, 0.0], [day_s * hour / 24 for hour in (0, 8, 12, 13, 17, 22)])
    each = float(day.integral(np.array([day_s]), day_s)[0])

    def integral(t_s: Floats, duration_s: float) -> Floats:
        days, rest_s = np.divmod(t_s, day_s)
        return days * each + day.integral(rest_s, duration_s)

    return Shape(lambda t_s, duration_s: day.rate(t_s % day_s, duration_s), integral)


def _sine(mean: float, amplitude: float, period_s: float) -> Shape:
    if amplitude > mean or not period_s:
        raise LoadError("AMPLITUDE of sine must be at most MEAN, and PERIOD_S more than 0")
    angular = 2 * math.pi / period_s
    return Shape(
        lambda t_s, _: mean + amplitude * math.sin(angular * t_s),
        lambda t_s, _: mean * t_s + amplitude / angular * (1 - np.cos(angular * t_s)),
    )


_MAKERS: dict[str, Callable[..., Shape]] = {
    "constant": lambda rate: _steps([rate], [0.0]),
    "ramping": _relative(lambda u: 0.1 + 0.9 * u, lambda u: 0.1 * u + 0.45 * u**2),
    "spike": _relative(lambda u: 1.1 - u**0.125, lambda u: 1.1 * u - u**1.125 / 1.125),
    "ramp-steady": _relative(lambda u: min(1.8 * u + 0.1, 1.0), _ramp_steady_integral),
    "step": _step,
    "burst": _burst,
    "sine": _sine,
    "days": _days,
}
