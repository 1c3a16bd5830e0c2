"""How often somebody has to sweep, and how the workers of a queue share that."""

from __future__ import annotations

import random

# Expired leases are looked for this many times in a lease's length, and a lease counts as expired one such interval
# early. So a dead worker's job can be claimed within one lease of the worker's death. Example: with leases of 30 s a
# sweep each second releases what was not renewed for 29 s.
_SWEEPS_PER_LEASE = 30
_MOST_INTERVAL_S = 1.0
# So many workers call `sweep` in an interval, on average, however many there are. Example: each of 1,000 workers calls
# every 250 s, which makes 4 calls a second; without that there would be 1,000.
_SWEEPERS = 4
# A worker that hears in its heartbeat of no sweep for so many intervals sweeps itself. Example: of 1,000 workers 900
# were killed a moment ago, and the next of the others would sweep in a minute.
_OVERDUE_INTERVALS = 3


def sweep_interval_s(lease_s: float) -> float:
    """How often `Stream.sweep` has to be called by somebody, in seconds."""
    return min(_MOST_INTERVAL_S, lease_s / _SWEEPS_PER_LEASE)


def is_overdue(swept_ms: int, interval_s: float) -> bool:
    """Whether the last sweep was too long ago: `swept_ms`, which is negative if the clock was set back since then."""
    return not 0 <= swept_ms <= 1000 * _OVERDUE_INTERVALS * interval_s


def pause_s(interval_s: float, due_s: float, workers: int, most_s: float) -> float:
    """Until the next sweep of one of so many workers, in seconds; `due_s` is negative if no job is deferred."""
    pause = interval_s
    if workers > _SWEEPERS and most_s > interval_s:
        pause = min(most_s, interval_s * workers / _SWEEPERS) * random.uniform(0.75, 1.25)  # noqa: S311
        if random.random() > _SWEEPERS / workers:  # noqa: S311 - enough others are there when it is due
            return pause
    return pause if due_s < 0 else min(pause, max(0.001, due_s))
