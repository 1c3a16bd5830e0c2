"""What `/overview` says of each queue: the figures of the page's first view."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A model's share of a budget. Amounts are by resource, such as `pods`."""

    wanted: int
    """Workers that the model is worth; it gets the `replicas` of its scaler."""
    guaranteed: int = 0
    takes: dict[str, float] = field(default_factory=dict)
    """What one worker takes."""
    budget: dict[str, float] = field(default_factory=dict)
    """What all models have together."""
    reason: str = ""
    """Why it gets less than it wants; empty if it does not."""


@dataclass(frozen=True, slots=True)
class ScalerView:
    """What the scaler has decided, and what it reckons with. None: not known."""

    replicas: int
    reason: str
    held: bool = False
    """An older decision holds, for want of data."""
    rate: float | None = None
    """Jobs/s that are expected `lead_s` from now."""
    lead_s: float | None = None
    objective_s: float | None = None
    startup_s: float | None = None
    service_s: float | None = None
    max_replicas: int | None = None
    share: BudgetView | None = None
    startup_parts_s: dict[str, float] = field(default_factory=dict)
    """How long the parts of a start took lately, the model's loading among them."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue now. None: not known.

    Rates are of the last minute, latencies (from push to end) and waits (from push to start) of the last five.
    """

    queue: str
    waiting: int
    running: int
    deferred: int
    dead: int
    oldest_wait_s: float | None
    """None: no job waits."""
    workers: dict[str, int]
    """How many are in each state: starting, idle, busy, stopping."""
    ended_per_s: float | None = None
    arrived_per_s: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    wait_p95_s: float | None = None
    scaler: ScalerView | None = None


def views_of(overview: Mapping[str, Any]) -> list[QueueView]:
    """The queues of an overview's document, by name. Members that this release doesn't know are ignored."""
    return [_view(name, queue, overview["now"]) for name, queue in sorted(overview["queues"].items())]


def _view(name: str, queue: Mapping[str, Any], now_ms: int) -> QueueView:
    oldest_ms, scaler = queue.get("oldest_ms"), queue.get("scaler")
    return _known(
        QueueView,
        {
            **queue,
            "queue": name,
            "oldest_wait_s": None if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000),
            "workers": dict(Counter(worker["state"] for worker in queue["workers"].values())),
            "scaler": None if scaler is None else _scaler(scaler),
        },
    )


def _scaler(scaler: Mapping[str, Any]) -> ScalerView:
    share = scaler.get("share")
    return _known(ScalerView, {**scaler, "share": None if share is None else _known(BudgetView, share)})


def _known(kind: type[T], members: Mapping[str, Any]) -> T:
    return kind(**{name: members[name] for name in kind.__slots__ if name in members})  # type: ignore[attr-defined]
