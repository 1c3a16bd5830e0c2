"""Curves of one run: figures of jobs in windows of time, and samples as arrays. Times in seconds, NaN for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bench.common.figures import percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.common.runs import Run

    Floats: TypeAlias = NDArray[np.float64]

PERCENTS = (50, 95, 99)
# The load's time is cut into so many windows that each has this many jobs on the average, and at most so many.
_JOBS_A_WINDOW = 20
_MOST_WINDOWS = 60


def column(values: Sequence[Any]) -> Floats:
    """A column of a run's file as an array; null becomes NaN."""
    return np.array(values, dtype=np.float64)


def latencies(run: Run) -> tuple[Floats, Floats]:
    """Scheduled times and latencies of the jobs that finished (or were accepted, where nobody waited for more)."""
    scheduled, ended = column(run.jobs.scheduled_s), column(run.jobs.ended_s)
    done = np.isin(np.array(run.jobs.outcome, dtype=object), ("finished", "accepted")) & ~np.isnan(ended)
    return scheduled[done], (ended - scheduled)[done]


def end_s(run: Run) -> float:
    """When the last thing happened that the file knows of."""
    times = (run.duration_s, *run.jobs.scheduled_s, *run.samples.t_s, *run.jobs.ended_s)
    return max(at_s for at_s in times if at_s is not None)


def edges(run: Run) -> Floats:
    """Bounds of the windows that the time of the run's load is cut into."""
    count = max(1, min(_MOST_WINDOWS, len(run.jobs.scheduled_s) // _JOBS_A_WINDOW))
    return np.linspace(0, max([run.duration_s, *run.jobs.scheduled_s]) or 1.0, count + 1)


def percentiles_over_time(run: Run) -> tuple[Floats, Floats]:
    """Middles of the windows, and PERCENTS of the latencies of each one's jobs: shape (windows, percents)."""
    scheduled, latency = latencies(run)
    bounds = edges(run)
    window = np.clip(np.searchsorted(bounds, scheduled, side="right") - 1, 0, len(bounds) - 2)
    rows = [percentiles(latency[window == i], PERCENTS) for i in range(len(bounds) - 1)]
    return (bounds[1:] + bounds[:-1]) / 2, np.array(rows)


def arrival_rate(run: Run) -> tuple[Floats, Floats]:
    """The windows' bounds, and jobs/s that were scheduled within each."""
    bounds = edges(run)
    return bounds, np.histogram(column(run.jobs.scheduled_s), bounds)[0] / np.diff(bounds)


def in_flight(run: Run) -> tuple[Floats, Floats]:
    """Jobs acknowledged and not ended, as their users know: steps at the times. Empty if no push was acknowledged.

    A job whose end nobody knew stays.
    """
    began, ended = column(run.jobs.accepted_s), column(run.jobs.ended_s)
    counted = ~np.isnan(began) & (np.array(run.jobs.outcome, dtype=object) != "accepted")
    ups, downs = began[counted], ended[counted & ~np.isnan(ended)]
    times = np.concatenate([ups, downs])
    order = np.argsort(times, kind="stable")
    return times[order], np.cumsum(np.repeat([1.0, -1.0], [len(ups), len(downs)])[order])
