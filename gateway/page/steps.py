"""A step of the history: what it is made of, how steps are joined, and the figures that are read from them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.stream import HISTORY_STEP_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Weighted = list[tuple[float, float]]

logger = logging.getLogger(__name__)


class Step(BaseModel):
    """One step, as it is kept. Another release may have written it: unknown members are ignored.

    `arrived` counts all jobs ever pushed (-1: not known), `ended` those that ended within the step. `waits` and
    `latencies` are seconds of some of these: from push to start and from push to end. `rate` is the scaler's forecast
    in jobs/s for the time `lead_s` later; `wanted` is its decision. Without a scaler these three are None.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    arrived: int = -1
    ended: int = 0
    waiting: int = 0
    running: int = 0
    ready: int = 0
    starting: int = 0
    wanted: int | None = None
    rate: float | None = None
    lead_s: float | None = None
    waits: tuple[float, ...] = ()
    latencies: tuple[float, ...] = ()

    def dump(self) -> bytes:
        """Its JSON; members that have their default are left out."""
        return self.model_dump_json(exclude_defaults=True).encode()


def read_steps(rows: Iterable[tuple[int, bytes]]) -> list[tuple[int, Step]]:
    """Times in ms, and steps. One that can't be read is left out."""
    steps = []
    for at_ms, text in rows:
        try:
            steps.append((at_ms, Step.model_validate_json(text)))
        except ValidationError:
            logger.debug("a step of the history can't be read")
    return steps


def quantile(values: Weighted, share: float) -> float | None:
    """The smallest value below or at which this share of the weight is; None without any."""
    whole, seen = sum(weight for _, weight in values), 0.0
    for value, weight in sorted(values):
        seen += weight
        if seen >= share * whole:
            return value
    return None


def latencies_of(steps: Sequence[Step]) -> Weighted:
    """Seconds from push to end, each with the number of jobs that it stands for."""
    return _weighted((step.latencies, step.ended) for step in steps)


def waits_of(steps: Sequence[Step]) -> Weighted:
    """Seconds from push to start, each with the number of jobs that it stands for."""
    return _weighted((step.waits, step.ended) for step in steps)


def points(steps: Sequence[tuple[int, Step]], width_ms: int) -> list[dict[str, Any]]:
    """What a chart draws: a point for each `width_ms` that has a step, oldest first. See HistoryPoint in openapi."""
    found: list[dict[str, Any]] = []
    group: list[Step] = []
    before: tuple[int, int] | None = None
    for place, (at_ms, step) in enumerate(steps):
        group.append(step)
        following = steps[place + 1][0] if place + 1 < len(steps) else None
        if following is not None and following // width_ms == at_ms // width_ms:
            continue
        found.append({"at": at_ms // width_ms * width_ms, **_joined(group, at_ms, before)})
        before = (at_ms, step.arrived) if step.arrived >= 0 else None
        group = []
    return found


def _joined(steps: Sequence[Step], at_ms: int, before: tuple[int, int] | None) -> dict[str, Any]:
    last, latencies = steps[-1], latencies_of(steps)
    arrivals = None
    if before is not None and last.arrived >= before[1] and at_ms > before[0]:
        arrivals = (last.arrived - before[1]) / (at_ms - before[0]) * 1000
    return {
        "arrivals": _rounded(arrivals),
        "ended": _rounded(sum(step.ended for step in steps) / len(steps) / HISTORY_STEP_S),
        "waiting": max(step.waiting for step in steps),
        "running": max(step.running for step in steps),
        "ready": last.ready,
        "starting": last.starting,
        "wanted": last.wanted,
        "forecast": _rounded(last.rate),
        "lead_s": _rounded(last.lead_s),
        "wait_p95_s": _rounded(quantile(waits_of(steps), 0.95)),
        "latency_p50_s": _rounded(quantile(latencies, 0.5)),
        "latency_p95_s": _rounded(quantile(latencies, 0.95)),
    }


def _weighted(parts: Iterable[tuple[tuple[float, ...], int]]) -> Weighted:
    return [(value, max(ended, len(values)) / len(values)) for values, ended in parts for value in values]


def _rounded(value: float | None) -> float | None:
    """To three digits that count: the rest would be sent for nothing."""
    return None if value is None else float(f"{value:.3g}")
