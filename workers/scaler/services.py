"""Service times: what is new in the workers' registrations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workers.stream import WorkerView


class Services:
    """Remembers how many attempts of each worker it has seen."""

    def __init__(self, seen: Mapping[str, int] | None = None) -> None:
        self._seen = dict(seen or {})

    @property
    def seen(self) -> dict[str, int]:
        """Attempts by worker."""
        return dict(self._seen)

    def new(self, workers: Iterable[WorkerView]) -> tuple[float, ...]:
        """Seconds of the attempts that ended since the last time, as far as the workers have kept them."""
        found: list[float] = []
        seen: dict[str, int] = {}
        for worker in workers:
            count, last_s = _read(worker.fields)
            before = self._seen.get(worker.id, 0)
            seen[worker.id] = max(count, before)
            if count > before:
                found += last_s[before - count :]
        self._seen = seen
        return tuple(found)


def _read(fields: Mapping[str, str]) -> tuple[int, list[float]]:
    # A worker of an older release has none of them.
    try:
        count, last_s = int(fields.get("served", "0")), [float(text) for text in fields.get("served_s", "").split()]
    except ValueError:
        return 0, []
    return max(0, count), [seconds for seconds in last_s if math.isfinite(seconds) and seconds >= 0]
