"""The application: routes, error handlers, and what runs beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from gateway import events, files, health, jobs, uploads, webhooks
from gateway.batches.endpoints import batch_results, batch_status, cancel_batch, push_batch
from gateway.context import Context
from gateway.deliveries import Webhooks
from gateway.documents.openapi import describe
from gateway.http.api_keys import ApiKeys, callers_of
from gateway.http.connection.budget import ByteBudget
from gateway.http.cors import Cors
from gateway.http.errors import error_response
from gateway.http.request import HttpRequest
from gateway.http.routing import HotPath, MeasuredEndpoint, PortSwitch, SingleSlashes, SubPath
from gateway.key_file import follow_keys, read_keys
from gateway.metrics import GatewayMetrics
from gateway.options import OPTIONS
from gateway.pace import UPLOADS_AT_ONCE
from gateway.results import LargeResults
from gateway.schemas.live import ModelSchemas
from gateway.staging import Staging
from gateway.stored import StoredJsons
from gateway.waiting import Waiters
from workers.objects.errors import StoreUnavailable
from workers.objects.store import open_store
from workers.objects.sweep import sweep
from workers.stream import Stream, end, is_unavailable, until_available

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

OBJECTS_SWEPT_S = 600.0
"""How often, on average, each gateway looks for objects whose job is gone."""


async def _keep_sweeping(stream: Stream) -> None:
    # Workers sweep too. The gateway does it for the times without any: deferred jobs come due then as well.
    await until_available(stream.open, "opening the stream")
    while True:  # noqa: ASYNC110
        await asyncio.sleep(await until_available(stream.sweep, "sweeping"))


async def _keep_sweeping_objects(context: Context) -> None:
    # At another time than other gateways: each of them sweeps.
    store, stream = context.objects, context.stream

    async def which_exist(job_ids: Collection[str]) -> Collection[str]:
        return [view.id for view in await stream.view_many([(one, False) for one in job_ids]) if view]

    while store is not None:
        await asyncio.sleep(OBJECTS_SWEPT_S * random.uniform(0.5, 1.5))  # noqa: S311
        try:
            if count := await sweep(store, context.settings.queue_name, which_exist):
                logger.info("deleted %d objects of jobs that are gone", count)
        except Exception as error:
            if not (isinstance(error, StoreUnavailable) or is_unavailable(error)):
                raise
            logger.warning("objects of jobs that are gone stay for now: %s", error)


def create_context(settings: GatewaySettings) -> Context:
    """What the endpoints of one gateway process work with. Nothing is sent to the stream's server yet.

    Raises StoreUnavailable.
    """
    stream = Stream(settings)
    named = read_keys(settings.api_keys_file) if settings.api_keys_file else {}
    api_keys = ApiKeys({**callers_of(settings.api_key_list()), **named})
    objects = open_store(settings)
    stored = StoredJsons(objects, settings.queue_name, settings.inline_bytes) if objects else None
    waiters = Waiters(stream, settings.max_waiters)
    budget = ByteBudget(settings.max_buffered_bytes)
    functions = settings.push_function_set()
    metrics = GatewayMetrics(budget)
    return Context(
        settings,
        stream,
        api_keys,
        waiters,
        LargeResults(stream, budget, stored, settings.root_path),
        metrics,
        budget,
        describe(settings),
        functions,
        status_path=f"{settings.root_path}/status/",
        schemas=ModelSchemas(stream),
        webhooks=Webhooks(settings) if settings.webhook_secret_list() else None,
        staging=Staging(settings.max_buffered_bytes),
        objects=objects,
        stored=stored,
        uploads=asyncio.Semaphore(UPLOADS_AT_ONCE),
    )


def _side_tasks(context: Context) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """What runs beside the requests, with its name for the log."""
    yield "sweep", _keep_sweeping(context.stream)
    for one in context.waiters.subscriptions():
        yield "subscription", one.run()
    yield "schemas", context.schemas.follow()
    if path := context.settings.api_keys_file:
        yield "API keys", follow_keys(path, context.api_keys, callers_of(context.settings.api_key_list()))
    if context.objects:
        yield "objects' sweep", _keep_sweeping_objects(context)
    if context.webhooks:
        yield "webhooks", context.webhooks.deliver(context.stream, context.metrics.webhook)


def create_app(context: Context, on_side_task_end: Callable[[asyncio.Task[None]], None]) -> ASGIApp:
    """The gateway as an ASGI application. It starts without a server to keep the stream, and then answers 503.

    `on_side_task_end` has to end the process if a task ends that was not cancelled: without it the gateway would only
    seem to work.
    """

    def route(
        method: str, path: str, respond: Callable[[Context, HttpRequest], Awaitable[Response]], *parameters: str
    ) -> Route:
        name = respond.__name__
        endpoint = MeasuredEndpoint(name, partial(respond, context), frozenset(parameters), context.metrics.answered)
        return Route(path, endpoint, methods=[method])

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        side = [asyncio.create_task(coroutine, name=name) for name, coroutine in _side_tasks(context)]
        for task in side:
            task.add_done_callback(on_side_task_end)
        try:
            yield
        finally:
            await end(*side)
            await context.stream.close()
            if context.webhooks:
                await context.webhooks.close()

    async def turn_away(request: Request, error: Exception) -> Response:
        request_id = HttpRequest(request.scope, request.receive).id
        response = error_response(error, request_id)
        response.raw_headers.append((b"x-request-id", request_id))
        context.metrics.turned_away(response.status_code)
        return response

    push = route("POST", "/push", jobs.push, "input", "wait", *OPTIONS, *webhooks.PARAMETERS)
    metrics = route("GET", "/metrics", health.metrics)
    metrics_port = context.settings.metrics_port
    errors = {HTTPException: turn_away, Exception: turn_away}
    app = Starlette(
        routes=[
            push,
            route("POST", "/push/{function}", jobs.push_function, "wait", *OPTIONS, *webhooks.PARAMETERS),
            route("GET", "/status/{id}", jobs.status, "wait"),
            route("GET", "/data/{id}", jobs.data, "wait"),
            route("GET", "/events/{id}", events.events, "after"),
            route("GET", "/files/{id}/{name}", files.file),
            route("POST", "/uploads", uploads.uploads, "name"),
            route("PUT", "/uploads/{id}", uploads.upload),
            route("POST", "/cancel/{id}", jobs.cancel),
            route("POST", "/retry/{id}", jobs.retry),
            route("POST", "/batches", push_batch, *OPTIONS, *webhooks.PARAMETERS),
            route("GET", "/batches/{id}", batch_status, "wait"),
            route("GET", "/batches/{id}/results", batch_results, "wait"),
            route("POST", "/batches/{id}/cancel", cancel_batch),
            route("GET", "/webhooks/secrets", webhooks.secrets),
            route("GET", "/webhooks/failed", webhooks.failed, "after"),
            route("POST", "/webhooks/failed/{place}/resend", webhooks.resend),
            route("GET", "/healthz", health.healthz),
            route("GET", "/readyz", health.readyz),
            route("GET", "/openapi.json", health.openapi),
            *([] if metrics_port else [metrics]),
        ],
        exception_handlers=errors,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.router.default = SingleSlashes(app.router)
    api: ASGIApp = HotPath(app, "POST", "/push", push.endpoint)
    if root_path := context.settings.root_path:
        api = SubPath(api, root_path)
    if origins := context.settings.cors_origin_list():
        api = Cors(api, origins, context.metrics.turned_away)
    if not metrics_port:
        return api
    return PortSwitch(api, metrics_port, Starlette(routes=[metrics], exception_handlers=errors))
