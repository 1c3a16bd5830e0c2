"""What users see of a job: its status document, its data document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from workers.stream import JobView


def status_document(view: JobView) -> dict[str, Any]:
    """Status, attempts, times (RFC 3339, null until they are known), error, and at most how many jobs are ahead."""
    return {
        "id": view.id,
        "status": view.status,
        "attempts": view.attempts,
        "queued": _time(view.queued_ms),
        "started": _time(view.started_ms),
        "finished": _time(view.finished_ms),
        "error": view.error,
        "ahead": view.ahead,
    }


def data_document(view: JobView) -> dict[str, Any] | None:
    """The `output` and `input` that `predict` returned, and the latency in seconds from push to finish.

    None if the job has no result. A result that is no object with `output` is itself the output; the input is null.
    """
    if view.result is None or view.finished_ms is None:
        return None
    result = orjson.loads(view.result)
    shaped = isinstance(result, dict) and "output" in result
    return {
        "output": result["output"] if shaped else result,
        "input": result.get("input") if shaped else None,
        "latency": (view.finished_ms - view.queued_ms) / 1000,
        "id": view.id,
    }


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
