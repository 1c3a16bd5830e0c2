"""What `/metrics` says of each queue."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class QueueFigures(NamedTuple):
    """A queue as a gateway sees it. `queue` is empty if the gateway has one queue alone."""

    queue: str
    waiting: int
    running: int
    ahead: int
    deferred: int
    dead: int
    workers: int
    idle_workers: int
    pushed: int
    """Pushes that this gateway process has accepted since it started."""


def figures_of(metrics: str) -> list[QueueFigures]:
    """The figures of each queue in Prometheus' text format, by name. Empty if the gateway can't reach its stream."""
    by_queue: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, labels, value in samples_of(metrics):
        if not name.startswith("leadtime_"):
            continue
        key = "pushed" if (name, labels.get("outcome")) == ("leadtime_pushes_total", "accepted") else name
        by_queue[labels.get("queue", "")][key] += int(value)
    return [_figures(queue, found) for queue, found in sorted(by_queue.items()) if "leadtime_workers" in found]


def _figures(queue: str, found: dict[str, int]) -> QueueFigures:
    pending, released, ahead = (found[f"leadtime_jobs_{name}"] for name in ("pending", "released", "ahead"))
    return QueueFigures(
        queue=queue,
        # Jobs that were handed back, or are held ahead without running, wait as well.
        waiting=found["leadtime_jobs_waiting"] + released + ahead,
        running=pending - released - ahead,
        ahead=ahead,
        deferred=found["leadtime_jobs_deferred"],
        dead=found["leadtime_dead_letters"],
        workers=found["leadtime_workers"],
        idle_workers=found["leadtime_workers_idle"],
        pushed=found["pushed"],
    )


def samples_of(metrics: str) -> list[tuple[str, dict[str, str], float]]:
    """Each sample of the text: its name, labels and value."""
    found = []
    for line in metrics.split("\n"):
        if match := _SAMPLE.fullmatch(line):
            found.append((match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])))
    return found
