"""How late the requests left: what the generator itself adds to the latencies it measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.load.account import Job

# A request that leaves this long after its time is late.
LATE_S = 0.01
# More of them than this share: the generator can't keep up.
TOLERATED = 0.05


class Lateness(NamedTuple):
    """Of the requests that left: seconds after their time, and the share that was late."""

    p50_s: float
    p99_s: float
    most_s: float
    share: float

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.share:
            return f"Every request left within {1000 * LATE_S:g} ms of its time."
        how = f"{_percent(self.share)} of the requests left more than {1000 * LATE_S:g} ms late, the latest by "
        how += f"{self.most_s:.3g} s. Latency counts from the scheduled time, and holds this."
        if self.share <= TOLERATED:
            return how
        return f"The generator could not keep up: {how} What it measured is partly its own slowness."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 0.0001 else "less than 0.01 %"


def lateness(jobs: Iterable[Job]) -> Lateness | None:
    """None if nothing was sent."""
    late = np.array([job.lateness_s for job in jobs if job.lateness_s is not None])
    if not len(late):
        return None
    p50_s, p99_s = np.percentile(late, (50, 99), method="inverted_cdf")
    return Lateness(float(p50_s), float(p99_s), float(late.max()), float((late > LATE_S).mean()))
