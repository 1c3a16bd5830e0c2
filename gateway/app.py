"""The application: routes, error handlers, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from gateway import jobs
from gateway.errors import HANDLERS
from gateway.paths import SingleSlashes
from workers.connection import until_available
from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.settings import GatewaySettings


async def _keep_sweeping(stream: Stream) -> None:
    # The gateway is there when no worker is: deferred jobs come due and leases expire all the same.
    await until_available(stream.open, "opening the stream")
    while True:  # noqa: ASYNC110
        await asyncio.sleep(await until_available(stream.sweep, "sweeping"))


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    stream: Stream = app.state.stream
    sweeping = asyncio.create_task(_keep_sweeping(stream))
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await stream.close()


def create_app(settings: GatewaySettings) -> Starlette:
    """The gateway as an ASGI application. It starts without the server, and answers 503 until it is there."""
    app = Starlette(
        routes=[
            Route("/push", jobs.push, methods=["POST"]),
            Route("/status/{id}", jobs.status),
            Route("/data/{id}", jobs.data),
            Route("/cancel/{id}", jobs.cancel, methods=["POST"]),
            Route("/retry/{id}", jobs.retry, methods=["POST"]),
            Route("/healthz", jobs.healthz),
            Route("/readyz", jobs.readyz),
        ],
        middleware=[Middleware(SingleSlashes)],
        exception_handlers=HANDLERS,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.stream = Stream(settings)
    return app
