"""One run in figures."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.common.figures import percentiles
from bench.common.runs import LATE_S, OUTCOMES
from bench.reports.series import PERCENTS, column, latencies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.common.runs import Run
    from bench.reports.series import Floats


@dataclass(frozen=True, slots=True)
class RunSummary:
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


def summary(run: Run, objective_s: float | None = None) -> RunSummary:
    """Of one run."""
    jobs, seen = run.jobs, run.samples
    _, latency = latencies(run)
    p50_s, p95_s, p99_s = percentiles(latency, PERCENTS)
    scheduled = column(jobs.scheduled_s)
    start_p50_s, start_p95_s = percentiles(_known(column(jobs.started_s) - scheduled), (50, 95))
    late = _known(column(jobs.sent_s) - scheduled) > LATE_S
    pods = np.nansum([column(each) for each in (seen.starting, seen.ready, seen.stopping)], axis=0)
    refused = zip(jobs.outcome, jobs.status_code, strict=True)
    codes = Counter("no answer" if code is None else str(code) for outcome, code in refused if outcome == "refused")
    outcomes = Counter(jobs.outcome)
    count = len(scheduled)
    return RunSummary(
        name=run.name,
        jobs=count,
        outcomes={outcome: outcomes[outcome] for outcome in in_order(outcomes)},
        refusals=dict(sorted(codes.items())),
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        most_s=float(latency.max()) if len(latency) else math.nan,
        mean_s=float(latency.mean()) if len(latency) else math.nan,
        start_p50_s=start_p50_s,
        start_p95_s=start_p95_s,
        objective_s=objective_s,
        within=float((latency <= objective_s).sum() / count) if objective_s is not None and count else math.nan,
        retried=sum(attempts is not None and attempts > 1 for attempts in jobs.attempts),
        pod_s=math.nan if run.pod_s is None else run.pod_s,
        most_waiting=float(max(_known(column(seen.waiting)), default=math.nan)),
        most_pods=math.nan if run.pod_s is None else float(pods.max()),
        late=float(late.mean()) if len(late) else math.nan,
    )


def in_order(outcomes: Iterable[str]) -> list[str]:
    """Each once: those of OUTCOMES in their order, then the others by name."""
    there = set(outcomes)
    return [outcome for outcome in OUTCOMES if outcome in there] + sorted(there - set(OUTCOMES))


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]
