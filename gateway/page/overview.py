"""The document of a queue at a glance, and what has changed in it since (JSON Merge Patch, RFC 7396)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.page.steps import latencies_of, quantile, waits_of
from workers.stream import HISTORY_STEP_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.page.steps import Step
    from workers.stream import QueueGlance, WorkerGlance

    Document = dict[str, Any]

RATES_STEPS = 6
LATENCY_STEPS = 30
_MOST_TEXT_CHARS = 80
_MOST_REASON_CHARS = 500


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
    recent = steps[-RATES_STEPS:]
    latencies, waits = latencies_of(steps), waits_of(steps)
    document: Document = {
        "waiting": glance.waiting,
        "running": glance.running,
        "deferred": glance.deferred,
        "dead": glance.dead,
        "oldest_ms": glance.oldest_ms,
        "ended_per_s": _short(sum(step.ended for step in recent) / len(recent) / HISTORY_STEP_S) if recent else None,
        "arrived_per_s": _arrivals(recent),
        "latency_p50_s": _short(quantile(latencies, 0.5)),
        "latency_p95_s": _short(quantile(latencies, 0.95)),
        "wait_p95_s": _short(quantile(waits, 0.95)),
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
    }
    return {name: value for name, value in document.items() if value is not None}


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
