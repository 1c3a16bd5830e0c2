"""The access log: a line for each answer, with the job that it is about. Never the query, which may have an input."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from gateway.http.traceparent import traceparent_of
from workers.telemetry.log_job import about, trace_id

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.http.request import HttpRequest

logger = logging.getLogger("gateway.access")

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def log_access(name: str, method: str, request: HttpRequest, response: Response, seconds: float, queue: str) -> None:
    """Logs an answer of the endpoint `name`, with the ids of its request, of its job or batch, and of its trace."""
    fields = {
        "endpoint": name,
        "method": method,
        "status": response.status_code,
        "ms": round(1000 * seconds, 1),
        "request": request.id.decode(),
    }
    if traceparent := traceparent_of(request):
        fields["trace"] = trace_id(traceparent)
    named = request.path_parameters.get("id") or response.headers.get("location", "").rpartition("/")[2]
    extra = about(named, queue=queue) if _ID.fullmatch(named) else {}
    logger.info(
        "%s %s: %d in %.1f ms, request %s", method, name, fields["status"], fields["ms"], fields["request"],
        extra={**extra, "fields": fields},
    )  # fmt: skip
