"""How late the requests left: what the generator itself adds to the latencies it measures.

A machine that is busy with something else wakes the generator late, now and then, at any rate: that is in the
latencies, and of no weight where they are long. A generator that can't keep up sends a request when the next one is
due already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load.account import Job

# A request that leaves this long after its time is late.
LATE_S = 0.01
# More of the requests than this share late, and left when the next one was due: the generator can't keep up.
# More of the latency than this share: it is partly the generator's.
TOLERATED = 0.05


class Lateness(NamedTuple):
    """Of the requests that left: seconds after their time, and shares of them."""

    p50_s: float
    p99_s: float
    most_s: float
    share: float  # late
    behind: float  # late, and left when the next one was due already
    of_latency: float | None  # share of all latencies together; None where there are none

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.share:
            return f"Every request left within {1000 * LATE_S:g} ms of its time."
        said = f"{_percent(self.share)} of the requests left more than {1000 * LATE_S:g} ms late, the latest by "
        said += f"{self.most_s:.3g} s. Latency counts from the scheduled time, and holds this"
        said += "." if self.of_latency is None else f": {_percent(self.of_latency)} of it."
        if self.behind > TOLERATED:
            said = f"The generator could not keep up: {said}"
        if self.of_latency is not None and self.of_latency > TOLERATED:
            said += " What it measured is partly its own slowness."
        return said


def _percent(share: float) -> str:
    if share < 0.0001:
        return "less than 0.01 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def lateness(jobs: Sequence[Job]) -> Lateness | None:
    """Of all jobs of a run whose time has come. None if nothing was sent."""
    due_s = np.sort([job.scheduled_s for job in jobs])
    sent = [(job.scheduled_s, late_s) for job in jobs if (late_s := job.lateness_s) is not None]
    if not sent:
        return None
    scheduled_s, late_s = np.array(sent).T
    # The next one is the first with a later time: those of one and the same time can but leave one by one.
    following = np.searchsorted(due_s, scheduled_s, side="right")
    next_s = np.append(due_s, np.inf)[following]
    is_late = late_s > LATE_S
    p50_s, p99_s = np.percentile(late_s, (50, 99), method="inverted_cdf")
    return Lateness(
        p50_s=float(p50_s),
        p99_s=float(p99_s),
        most_s=float(late_s.max()),
        share=float(is_late.mean()),
        behind=float((is_late & (scheduled_s + late_s > next_s)).mean()),
        of_latency=_of_latency(jobs),
    )


def _of_latency(jobs: Sequence[Job]) -> float | None:
    ended = [
        (late_s, job.ended_s - job.scheduled_s)
        for job in jobs
        if job.outcome in ("finished", "accepted")
        and job.ended_s is not None
        and (late_s := job.lateness_s) is not None
    ]
    if not ended:
        return None
    late_s, latency_s = np.sum(ended, axis=0)
    return float(late_s / latency_s) if latency_s > 0 else None
