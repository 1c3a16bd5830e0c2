"""What machines ask of the gateway: whether it lives, whether it is ready, its metrics, its description."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gateway.documents import json_response
from workers.stream import is_unavailable

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.parts import Parts

logger = logging.getLogger(__name__)


async def healthz(_request: Request) -> Response:
    """GET /healthz: the process answers."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """GET /readyz: the stream can be reached."""
    parts: Parts = request.app.state.parts
    await parts.stream.ping()
    return json_response({"status": "ok"})


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format. Without the stream's own figures while it can't be reached."""
    parts: Parts = request.app.state.parts
    counts = None
    try:
        counts = await parts.stream.counts()
    except Exception as error:
        if not is_unavailable(error):
            raise
        logger.warning("metrics without the stream's: it can't be reached (%s)", error)
    return Response(parts.metrics.text(counts, parts.waiters.count), media_type=CONTENT_TYPE_LATEST)


async def openapi(request: Request) -> Response:
    """GET /openapi.json: the description of this very gateway."""
    return json_response(request.app.state.openapi)
