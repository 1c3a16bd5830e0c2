"""What machines ask of the gateway: whether it lives, whether it is ready, its metrics, its description."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gateway.documents import JsonResponse
from workers.stream import is_unavailable

if TYPE_CHECKING:
    from gateway.http.request import Call

logger = logging.getLogger(__name__)


async def healthz(_call: Call) -> Response:
    """GET /healthz: the process answers."""
    return JsonResponse({"status": "ok"})


async def readyz(call: Call) -> Response:
    """GET /readyz: the stream can be reached."""
    await call.parts.stream.ping()
    return JsonResponse({"status": "ok"})


async def metrics(call: Call) -> Response:
    """GET /metrics: Prometheus' text format. Without the stream's own figures while it can't be reached."""
    parts, counts = call.parts, None
    try:
        counts = await parts.stream.counts()
    except Exception as error:
        if not is_unavailable(error):
            raise
        logger.warning("metrics without the stream's: it can't be reached (%s)", error)
    return Response(parts.metrics.text(counts, parts.waiters.count), media_type=CONTENT_TYPE_LATEST)


async def openapi(call: Call) -> Response:
    """GET /openapi.json: the description of this very gateway."""
    return JsonResponse(call.parts.openapi)
