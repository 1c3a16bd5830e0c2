"""What a pod's start consists of, and how long each part of it took lately."""

from __future__ import annotations

import re
import statistics
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.scaler.cluster.api import Document

# In the order in which they follow on each other. Until it is *scheduled* a pod waits for a node, perhaps for a new
# one; then its images are *pulled*; its containers are made and *started*; and its model is *loaded*.
PARTS = ("scheduled", "pulled", "started", "loaded")
# Starts that are remembered. As many as the policy remembers of forecasts.
_STARTS = 40
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"([0-9.]+)(h|ms|m|s|µs|us|ns)")
_PULLED = re.compile(r" in ([0-9hmsµun.]+)(?: \(([0-9hmsµun.]+) including waiting\))?")


class StartupParts:
    """Learns from the pods that became ready; the API's times are whole seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {part: deque(maxlen=_STARTS) for part in PARTS}

    def learn(self, pod: Document, pulls: Iterable[Document] | None) -> None:
        """Takes in a pod that has just become ready. Without its `pulls`, pulling counts as a part of starting."""
        for part, seconds in parts_of(pod, pulls).items():
            self._seen[part].append(seconds)

    def medians_s(self) -> Mapping[str, float]:
        """Returns the median of each part that has been seen, in seconds."""
        return {part: statistics.median(seen) for part, seen in self._seen.items() if seen}


def parts_of(pod: Document, pulls: Iterable[Document] | None) -> dict[str, float]:
    """Returns how long each part of a pod's start took, in seconds; nothing if its times don't say.

    `pulls` are the events of its images' pulls (reason Pulled); None if they can't be read.
    """
    status = pod.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or [] if one.get("status") == "True"}
    containers = status.get("containerStatuses") or []
    if any(int(container.get("restartCount", 0)) for container in containers):
        return {}
    started_s = [_time_s(((one.get("state") or {}).get("running") or {}).get("startedAt")) for one in containers]
    created_s = _time_s(pod["metadata"].get("creationTimestamp"))
    placed_s, ready_s = (
        _time_s(conditions.get(name, {}).get("lastTransitionTime")) for name in ("PodScheduled", "Ready")
    )
    if created_s is None or placed_s is None or ready_s is None or not started_s:
        return {}
    times_s = [time_s for time_s in started_s if time_s is not None]
    if len(times_s) < len(started_s):
        return {}
    until_s = max(0.0, max(times_s) - placed_s)
    found = {"scheduled": max(0.0, placed_s - created_s)}
    if pulls is not None:
        found["pulled"] = min(until_s, sum(_pull_s(str(event.get("message") or "")) for event in pulls))
    found["started"] = until_s - found.get("pulled", 0.0)
    found["loaded"] = max(0.0, ready_s - max(times_s))
    return found


def _pull_s(message: str) -> float:
    """Returns how long a pull took, the wait for others included; 0 for an image that was there.

    Example: 'Successfully pulled image "x" in 1.2s (1m3.4s including waiting). Image size: 5 bytes.' is 63.4.
    """
    found = _PULLED.search(message)
    if found is None:
        return 0.0
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(found[2] or found[1]))


def _time_s(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
