"""The application: routes, error handlers, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from gateway import health, jobs
from gateway.context import Parts
from gateway.http.api_keys import ApiKeys
from gateway.http.direct import Direct
from gateway.http.errors import answer
from gateway.http.paths import SingleSlashes
from gateway.http.request import Endpoint
from gateway.metrics import Metrics
from gateway.openapi import describe
from gateway.waiting import Waiters
from workers.stream import Stream, end, until_available

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)


async def _keep_sweeping(stream: Stream) -> None:
    # The gateway is there when no worker is: deferred jobs come due and leases expire all the same.
    await until_available(stream.open, "opening the stream")
    while True:  # noqa: ASYNC110
        await asyncio.sleep(await until_available(stream.sweep, "sweeping"))


def _on_side_task_end(task: asyncio.Task[None]) -> None:
    # Without it the gateway would seem to work: a restart is better.
    if not task.cancelled():
        logger.critical("the gateway's %s task ended", task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


def create_parts(settings: GatewaySettings) -> Parts:
    """What one gateway process works with; nothing is sent to the server yet."""
    stream = Stream(settings)
    api_keys = ApiKeys(settings.api_key_list())
    return Parts(settings, stream, api_keys, Waiters(stream, settings.max_waiters), Metrics(), describe(settings))


def create_app(parts: Parts) -> ASGIApp:
    """The gateway as an ASGI application. It starts without the server, and answers 503 until it is there."""
    push = Endpoint(jobs.push, parts)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        side = [
            asyncio.create_task(_keep_sweeping(parts.stream), name="sweep"),
            asyncio.create_task(parts.waiters.subscription().run(), name="subscription"),
        ]
        for task in side:
            task.add_done_callback(_on_side_task_end)
        try:
            yield
        finally:
            await end(*side)
            await parts.stream.close()

    async def turn_away(_request: Request, error: Exception) -> Response:
        response = answer(error)
        parts.metrics.turned_away(response.status_code)
        return response

    app = Starlette(
        routes=[
            Route("/push", push, methods=["POST"]),
            Route("/status/{id}", Endpoint(jobs.status, parts), methods=["GET"]),
            Route("/data/{id}", Endpoint(jobs.data, parts), methods=["GET"]),
            Route("/cancel/{id}", Endpoint(jobs.cancel, parts), methods=["POST"]),
            Route("/retry/{id}", Endpoint(jobs.retry, parts), methods=["POST"]),
            Route("/healthz", Endpoint(health.healthz, parts), methods=["GET"]),
            Route("/readyz", Endpoint(health.readyz, parts), methods=["GET"]),
            Route("/metrics", Endpoint(health.metrics, parts), methods=["GET"]),
            Route("/openapi.json", Endpoint(health.openapi, parts), methods=["GET"]),
        ],
        exception_handlers={HTTPException: turn_away, Exception: turn_away},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.router.default = SingleSlashes(app.router)
    return Direct(app, "POST", "/push", push)
