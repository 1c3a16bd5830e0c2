"""What users see of a job: its status document, its data document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.stream import JobView


class JsonResponse(Response):
    """`document` as application/json."""

    def __init__(self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        # Not Starlette's constructor, which looks for a content type and a length among any headers.
        self.status_code = status
        self.background = None
        self.body = orjson.dumps(document)
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), (b"content-type", b"application/json")]
        if headers:
            self.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def status_document(view: JobView) -> dict[str, Any]:
    """Status, attempts, times (RFC 3339, null while they are to come), error, and how many are at most ahead."""
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

    None without a result. A result of another shape is the output, and then the input is null.
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
