"""Curves of one run: figures of jobs in windows of time, and samples as arrays. Times in seconds, NaN for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.common.runs import Run

    Floats: TypeAlias = NDArray[np.float64]

PERCENTS = (50, 95, 99)
# As many windows as leave each this many jobs on the average, within limits.
_JOBS_A_WINDOW = 20
_MOST_WINDOWS = 60
DONE = ("finished", "accepted")


def column(values: Sequence[float | int | None]) -> Floats:
    """A column of a run's file as an array."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def latencies(run: Run) -> tuple[Floats, Floats]:
    """Scheduled times and latencies of the jobs that finished (or were accepted, where nobody waited for more)."""
    scheduled, ended = column(run.jobs.scheduled_s), column(run.jobs.ended_s)
    done = np.isin(np.array(run.jobs.outcome, dtype=object), DONE) & ~np.isnan(ended)
    return scheduled[done], (ended - scheduled)[done]


def percentiles(values: Floats, percents: Sequence[float]) -> Floats:
    """Nearest rank: each is one of the values. NaN without values."""
    if not len(values):
        return np.full(len(percents), np.nan)
    return np.asarray(np.percentile(values, percents, method="inverted_cdf"), dtype=np.float64)


def end_s(run: Run) -> float:
    """When the last thing happened that the file knows of."""
    times = [run.duration_s, *run.jobs.scheduled_s, *run.samples.t_s]
    times += [at_s for at_s in run.jobs.ended_s if at_s is not None]
    return max(times)


def edges(run: Run) -> Floats:
    """Bounds of the windows that the time of the run's load is cut into."""
    count = max(1, min(_MOST_WINDOWS, len(run.jobs.scheduled_s) // _JOBS_A_WINDOW))
    until_s = max([run.duration_s, *run.jobs.scheduled_s])
    return np.linspace(0, until_s or 1.0, count + 1)


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
    counts, _ = np.histogram(column(run.jobs.scheduled_s), bounds)
    return bounds, counts / np.diff(bounds)


def in_flight(run: Run) -> tuple[Floats, Floats]:
    """Jobs acknowledged and not ended, as their users know: steps at the times. Empty if no push was acknowledged.

    A job whose end nobody knew stays.
    """
    jobs = run.jobs
    pairs = [
        (began, ended)
        for began, ended, outcome in zip(jobs.accepted_s, jobs.ended_s, jobs.outcome, strict=True)
        if began is not None and outcome != "accepted"
    ]
    ups = [began for began, _ in pairs]
    downs = [ended for _, ended in pairs if ended is not None]
    times = np.array([*ups, *downs], dtype=np.float64)
    order = np.argsort(times, kind="stable")
    steps = np.array([1.0] * len(ups) + [-1.0] * len(downs))
    return times[order], np.cumsum(steps[order])
