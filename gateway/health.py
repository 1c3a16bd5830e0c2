"""What machines ask of the gateway: whether it is alive, whether it is ready, its metrics, its API's description."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.http.responses import JsonResponse
from gateway.page.overview import queue_state
from workers.stream import is_unavailable
from workers.telemetry.registry import format_for

if TYPE_CHECKING:
    from gateway.context import Context
    from gateway.http.request import HttpRequest

logger = logging.getLogger(__name__)


async def healthz(_context: Context, _request: HttpRequest) -> Response:
    """GET /healthz: 200, as the process answers."""
    return JsonResponse({"status": "ok"})


async def readyz(context: Context, _request: HttpRequest) -> Response:
    """GET /readyz: 200 if the server takes writes and evicts no jobs. Raises what the stream does.

    A full server is ready: it refuses pushes, but jobs go on, and their results must be fetched to make room.
    """
    await context.stream.prove_write()
    warnings = context.stream.memory.warnings
    return JsonResponse({"status": "ok", "warnings": warnings} if warnings else {"status": "ok"})


async def metrics(context: Context, request: HttpRequest) -> Response:
    """GET /metrics: Prometheus' text format, or OpenMetrics'. The stream's figures are left out while it is away.

    On a port of its own it needs no API key. Raises Problem.
    """
    if not context.settings.metrics_port:
        context.api_keys.owner(request)
    queues = memory = None
    try:
        queues = {one.settings.queue_name: await queue_state(one.stream.overviews) for one in context.queues}
        await context.stream.memory.look()
        memory = context.stream.memory.memory
    except Exception as error:
        if not is_unavailable(error):
            raise
        logger.warning("metrics without the stream's: it can't be reached (%s)", error)
    waiters = sum(one.waiters.count for one in context.queues)
    form = format_for(request.header(b"accept"))
    return Response(context.metrics.all.text(queues, waiters, memory, form), media_type=form.content_type)


async def openapi(context: Context, request: HttpRequest) -> Response:
    """GET /openapi.json: the API of this gateway, as its settings and the model make it. Raises Problem."""
    context.api_keys.owner(request)
    types = context.schemas.types
    return JsonResponse(types.added_to(context.openapi) if types else context.openapi)
