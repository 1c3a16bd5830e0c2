"""One run in figures."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.common.runs import LATE_S, OUTCOMES
from bench.reports.series import column, latencies, percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.common.runs import Run


@dataclass(frozen=True, slots=True)
class Summary:
    """NaN where there is nothing to make a figure of.

    Latency is from a job's scheduled time to the time its user knew the end; only of those that finished.
    """

    name: str
    jobs: int
    outcomes: dict[str, int]  # those that there are, in the order of OUTCOMES
    refusals: dict[str, int]  # by status code
    p50_s: float
    p95_s: float
    p99_s: float
    most_s: float
    mean_s: float
    start_p50_s: float  # from the scheduled time to the start of the last attempt
    start_p95_s: float
    objective_s: float | None
    within: float  # share of all jobs that finished within the objective
    retried: int  # jobs with more than one attempt
    pod_s: float
    most_waiting: float
    most_pods: float
    late: float  # share of the requests that left more than LATE_S after their time


def summary(run: Run, objective_s: float | None = None) -> Summary:
    """Of one run."""
    jobs = run.jobs
    _, latency = latencies(run)
    p50, p95, p99 = percentiles(latency, (50, 95, 99))
    scheduled = column(jobs.scheduled_s)
    starts = column(jobs.started_s) - scheduled
    start_p50, start_p95 = percentiles(starts[~np.isnan(starts)], (50, 95))
    lateness = column(jobs.sent_s) - scheduled
    lateness = lateness[~np.isnan(lateness)]
    count = len(jobs.scheduled_s)
    within = (latency <= objective_s).sum() / count if objective_s is not None and count else math.nan
    pods = np.nansum([column(run.samples.starting), column(run.samples.ready), column(run.samples.stopping)], axis=0)
    return Summary(
        name=run.name,
        jobs=count,
        outcomes=_in_order(jobs.outcome),
        refusals=_refusals(jobs.outcome, jobs.status_code),
        p50_s=float(p50),
        p95_s=float(p95),
        p99_s=float(p99),
        most_s=float(latency.max()) if len(latency) else math.nan,
        mean_s=float(latency.mean()) if len(latency) else math.nan,
        start_p50_s=float(start_p50),
        start_p95_s=float(start_p95),
        objective_s=objective_s,
        within=float(within),
        retried=sum(attempts is not None and attempts > 1 for attempts in jobs.attempts),
        pod_s=math.nan if run.pod_s is None else run.pod_s,
        most_waiting=_most(column(run.samples.waiting)),
        most_pods=math.nan if run.pod_s is None else _most(pods),
        late=float((lateness > LATE_S).mean()) if len(lateness) else math.nan,
    )


def _in_order(outcomes: Sequence[str]) -> dict[str, int]:
    counts = Counter(outcomes)
    known = {outcome: counts.pop(outcome) for outcome in OUTCOMES if outcome in counts}
    return known | dict(sorted(counts.items()))


def _refusals(outcomes: Sequence[str], codes: Sequence[int | None]) -> dict[str, int]:
    counts = Counter(
        "no answer" if code is None else str(code)
        for outcome, code in zip(outcomes, codes, strict=True)
        if outcome == "refused"
    )
    return dict(sorted(counts.items()))


def _most(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    values = values[~np.isnan(values)]
    return float(values.max()) if len(values) else math.nan
