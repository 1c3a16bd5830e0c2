"""The document of a queue at a glance, and what has changed in it since (JSON Merge Patch, RFC 7396)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.metrics import QueueState, RecentTimes
from gateway.page.steps import latencies_of, quantile, read_steps, waits_of
from workers.stream import HISTORY_STEP_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.page.steps import Step
    from workers.stream import Overviews, QueueGlance, WorkerGlance

    Document = dict[str, Any]

RATES_STEPS = 6
LATENCY_STEPS = 30
_MOST_TEXT_CHARS = 80
_MOST_REASON_CHARS = 500
_MOST_RESOURCES = 20


class ShareGlance(BaseModel):
    """What the model wanted of a budget, and why it got less. `takes` is what a pod takes of each resource."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    wanted: int
    guaranteed: int = 0
    takes: dict[str, float] = {}
    budget: dict[str, float] = {}
    reason: str = ""


class ScalerGlance(BaseModel):
    """The scaler's decision and facts, of this release or another: unknown members are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    replicas: int
    reason: str = ""
    rate: float | None = None
    lead_s: float | None = None
    at_ms: int = 0
    held: bool = False
    objective_s: float | None = None
    startup_s: float | None = None
    service_s: float | None = None
    max_replicas: int | None = None
    share: ShareGlance | None = None
    startup_parts_s: dict[str, float] = {}


def recent_times(steps: Sequence[Step]) -> RecentTimes:
    """Reads them off the last steps of the history."""
    latencies, waits = latencies_of(steps), waits_of(steps)
    return RecentTimes(*map(_short, (quantile(latencies, 0.5), quantile(latencies, 0.95), quantile(waits, 0.95))))


async def recent_steps(overviews: Overviews) -> list[Step]:
    """The steps of the last five minutes, oldest first."""
    return [step for _, step in read_steps(await overviews.recent_history(LATENCY_STEPS + 1))]


async def queue_state(overviews: Overviews) -> QueueState:
    """What `/metrics` tells of a queue, in one call. Raises what the stream raises."""
    counts, longest_wait_s, history = await overviews.measures(LATENCY_STEPS + 1)
    return QueueState(counts, longest_wait_s, recent_times([step for _, step in read_steps(history)]))


def scaler_of(glance: QueueGlance) -> ScalerGlance | None:
    """What the scaler has published; None without a scaler, or if it can't be read."""
    try:
        decision = orjson.loads(glance.decision) if glance.decision else None
        facts = orjson.loads(glance.facts) if glance.facts else {}
        return ScalerGlance.model_validate({**facts, **decision}) if decision else None
    except (ValueError, TypeError, ValidationError):
        return None


def queue_document(glance: QueueGlance, steps: Sequence[Step], with_jobs: bool) -> Document:
    """The queue, `with_jobs` that workers run. `steps` are the last of the history. See QueueOverview in openapi."""
    recent, times = steps[-RATES_STEPS:], recent_times(steps)
    document: Document = {
        "waiting": glance.waiting,
        "running": glance.running,
        "deferred": glance.deferred,
        "dead": glance.dead,
        "oldest_ms": glance.oldest_ms,
        "ended_per_s": _short(sum(step.ended for step in recent) / len(recent) / HISTORY_STEP_S) if recent else None,
        "arrived_per_s": _arrivals(recent),
        **times._asdict(),
        "scaler": _scaler_document(scaler_of(glance)),
        "workers": {worker.id: _worker_document(worker, with_jobs) for worker in glance.workers},
    }
    return {name: value for name, value in document.items() if value is not None}


def patch_of(before: Document, after: Document) -> Document:
    """The merge patch that makes `after` of `before`; empty if they are the same."""
    patch: Document = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := patch_of(old, value):
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    return patch


def _arrivals(steps: Sequence[Step]) -> float | None:
    if len(steps) < 2 or not 0 <= steps[0].arrived <= steps[-1].arrived:
        return None
    return _short((steps[-1].arrived - steps[0].arrived) / (len(steps) - 1) / HISTORY_STEP_S)


def _scaler_document(scaler: ScalerGlance | None) -> Document | None:
    if scaler is None:
        return None
    document: Document = {
        "replicas": scaler.replicas,
        "reason": scaler.reason[:_MOST_REASON_CHARS],
        "held": scaler.held,
        "rate": _short(scaler.rate),
        "lead_s": _short(scaler.lead_s),
        "objective_s": _short(scaler.objective_s),
        "startup_s": _short(scaler.startup_s),
        "service_s": _short(scaler.service_s),
        "max_replicas": scaler.max_replicas,
        "share": _share_document(scaler.share),
        "startup_parts_s": _parts_document(scaler.startup_parts_s),
    }
    return {name: value for name, value in document.items() if value is not None}


def _parts_document(parts_s: dict[str, float]) -> Document | None:
    if not 0 < len(parts_s) <= _MOST_RESOURCES:
        return None
    return {
        name[:_MOST_TEXT_CHARS]: short for name, seconds in parts_s.items() if (short := _short(seconds)) is not None
    }


def _share_document(share: ShareGlance | None) -> Document | None:
    if share is None or len(share.budget) > _MOST_RESOURCES:
        return None
    return {
        "wanted": share.wanted,
        "guaranteed": share.guaranteed,
        "takes": {name: share.takes.get(name, 0.0) for name in share.budget},
        "budget": share.budget,
        "reason": share.reason[:_MOST_REASON_CHARS],
    }


def _worker_document(worker: WorkerGlance, with_jobs: bool) -> Document:
    since = worker.starting_ms if worker.state == "starting" else worker.ready_ms
    document: Document = {"state": worker.state, "since": since, "running": worker.running, "slots": worker.concurrency}
    if worker.job:
        document["started"] = worker.started_ms
        progress = worker.progress or {}
        fraction = progress.get("fraction")
        if isinstance(fraction, int | float):
            document["fraction"] = round(fraction, 2)
        if with_jobs:
            document["job"] = worker.job
            if text := progress.get("text"):
                document["text"] = str(text)[:_MOST_TEXT_CHARS]
    return document


def _short(value: float | None) -> float | None:
    """To three digits that count."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.3g}")
