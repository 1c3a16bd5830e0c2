"""The application: routes, error handlers, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from gateway import health, jobs
from gateway.errors import HANDLERS
from gateway.keys import ApiKeys
from gateway.metrics import Measured, Metrics
from gateway.openapi import describe
from gateway.parts import Parts
from gateway.paths import SingleSlashes
from gateway.waiting import Waiters
from workers.connection import until_available
from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    side = [
        asyncio.create_task(_keep_sweeping(parts.stream), name="sweep"),
        asyncio.create_task(parts.waiters.subscription().run(), name="subscription"),
    ]
    for task in side:
        task.add_done_callback(_on_side_task_end)
    try:
        yield
    finally:
        for task in side:
            task.cancel()
        await asyncio.wait(side)
        await parts.stream.close()


def create_app(settings: GatewaySettings) -> Starlette:
    """The gateway as an ASGI application. It starts without the server, and answers 503 until it is there."""
    stream = Stream(settings)
    metrics = Metrics()
    parts = Parts(settings, stream, ApiKeys(settings.api_key_list()), Waiters(stream, settings.max_waiters), metrics)
    app = Starlette(
        routes=[
            Route("/push", jobs.push, methods=["POST"]),
            Route("/status/{id}", jobs.status),
            Route("/data/{id}", jobs.data),
            Route("/cancel/{id}", jobs.cancel, methods=["POST"]),
            Route("/retry/{id}", jobs.retry, methods=["POST"]),
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
            Route("/metrics", health.metrics),
            Route("/openapi.json", health.openapi),
        ],
        middleware=[Middleware(SingleSlashes), Middleware(Measured, metrics)],
        exception_handlers=HANDLERS,
        lifespan=_lifespan,
    )
    app.state.parts = parts
    app.state.openapi = describe(settings)
    return app
