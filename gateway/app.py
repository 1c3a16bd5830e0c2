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

from gateway import health, webhooks
from gateway.batches.endpoints import batch_results, batch_status, cancel_batch, push_batch
from gateway.context import Context
from gateway.deliveries import Webhooks
from gateway.documents.openapi.document import describe
from gateway.documents.openapi.queue_parameters import is_of_a_queue
from gateway.files import download, uploads
from gateway.files.pace import UPLOADS_AT_ONCE
from gateway.http.access_log import log_access
from gateway.http.api_keys import ApiKeys, callers_of
from gateway.http.connection.budget import ByteBudget
from gateway.http.cors import Cors
from gateway.http.errors import Problem, error_response
from gateway.http.request import HttpRequest
from gateway.http.routing import HotPath, MeasuredEndpoint, PortSwitch, SingleSlashes, SubPath
from gateway.jobs import dead_letters, endpoints, events, listing, logs
from gateway.keys.file import follow_keys, read_keys
from gateway.marks import mark_of
from gateway.metrics import GatewayMetrics
from gateway.options import OPTIONS
from gateway.page.endpoints import PageEndpoints
from gateway.page.recorder import Recorder
from gateway.queues import Queues
from gateway.schemas.live import ModelSchemas
from gateway.stores.results import LargeResults
from gateway.stores.staging import Staging
from gateway.stores.stored import StoredJsons
from gateway.waits.waiting import Waiters
from workers.objects.errors import StoreUnavailable
from workers.objects.store import open_store
from workers.objects.sweep import sweep
from workers.stream import Stream, end, is_unavailable, until_available
from workers.telemetry.registry import histogram_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator

    from opentelemetry.trace import Tracer
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

_TRACED = (endpoints.push, endpoints.push_function, push_batch)
OBJECTS_SWEPT_S = 600.0
"""How often, on average, each gateway looks for objects whose job is gone."""


def _respond(
    queues: Queues, respond: Callable[[Context, HttpRequest], Awaitable[Response]], request: HttpRequest
) -> Awaitable[Response]:
    return respond(queues.of(request), request)


def _queue_of(queues: Queues, request: HttpRequest) -> str:
    """The name of its queue; empty if it names one that isn't here."""
    try:
        return queues.of(request).settings.queue_name
    except Problem:
        return ""


def _log_access(
    queues: Queues, name: str, method: str, request: HttpRequest, response: Response, seconds: float
) -> None:
    log_access(name, method, request, response, seconds, _queue_of(queues, request))


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


def create_queues(settings: GatewaySettings, tracer: Tracer | None = None) -> Queues:
    """What the endpoints of one gateway process work with. Nothing is sent to the stream's server yet.

    Raises StoreUnavailable.
    """
    names = settings.queue_list()
    budget, staging = ByteBudget(settings.max_buffered_bytes), Staging(settings.max_buffered_bytes)
    metrics, contexts = GatewayMetrics(budget, names, histogram_class(tracer is not None)), list[Context]()
    named = read_keys(settings.api_keys_file) if settings.api_keys_file else {}
    api_keys = ApiKeys({**callers_of(settings.api_key_list()), **named}, settings.backlog_share)
    document, functions = describe(settings), settings.push_function_set()
    objects, uploads = open_store(settings), asyncio.Semaphore(UPLOADS_AT_ONCE)
    for name in names:
        own = settings.model_copy(update={"queue_name": name})
        stream = Stream(own)
        stored = StoredJsons(objects, name, settings.inline_bytes) if objects else None
        context = Context(
            own,
            stream,
            api_keys,
            Waiters(stream, settings.max_waiters),
            LargeResults(stream, budget, stored, settings.root_path),
            metrics.of(name),
            budget,
            document,
            functions,
            status_path=f"{settings.root_path}/status/",
            schemas=ModelSchemas(stream),
            webhooks=Webhooks(own, api_keys, tracer) if settings.webhook_secret_list() else None,
            staging=staging,
            objects=objects,
            stored=stored,
            uploads=uploads,
            mark=mark_of(name) if len(names) > 1 else "",
            queues=contexts,
        )
        contexts.append(context)
    return Queues(contexts)


def _side_tasks(queues: Queues) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """What runs beside the requests, with its name for the log."""
    first = queues.first
    if path := first.settings.api_keys_file:
        yield "API keys", follow_keys(path, first.api_keys, callers_of(first.settings.api_key_list()))
    for context in queues.all:
        yield "sweep", _keep_sweeping(context.stream)
        for one in context.waiters.subscriptions():
            yield "subscription", one.run()
        yield "schemas", context.schemas.follow()
        if context.settings.ui:
            yield "history", Recorder(context.stream, context.waiters.recent).run()
        if context.objects:
            yield "objects' sweep", _keep_sweeping_objects(context)
        if context.webhooks:
            yield "webhooks", context.webhooks.deliver(context.stream, context.metrics.webhook)


def _page_routes(page: PageEndpoints, route: Callable[..., Route]) -> list[Route]:
    return [
        route("GET", "/", page.page),
        route("GET", "/ui", page.page),
        route("GET", "/ui/{file}", page.page_file),
    ]


def create_app(
    queues: Queues, on_side_task_end: Callable[[asyncio.Task[None]], None], tracer: Tracer | None = None
) -> ASGIApp:
    """The gateway as an ASGI application. It starts without a server to keep the stream, and then answers 503.

    `on_side_task_end` has to end the process if a task ends that was not cancelled: without it the gateway would only
    seem to work. With a `tracer` its pushes have spans.
    """
    settings, metrics = queues.first.settings, queues.first.metrics.all
    page = PageEndpoints(queues.all)
    has_queues = len(queues.all) > 1
    push_parameters = ("input", "wait", *OPTIONS, *webhooks.PARAMETERS)

    def route(
        method: str, path: str, respond: Callable[[Context, HttpRequest], Awaitable[Response]], *parameters: str
    ) -> Route:
        taken = {*parameters, "queue"} if has_queues and is_of_a_queue(path) else {*parameters}
        respond_for = partial(_respond, queues, respond) if has_queues else partial(respond, queues.first)
        on_access = partial(_log_access, queues) if settings.access_log else None
        endpoint: ASGIApp = MeasuredEndpoint(
            respond.__name__, respond_for, frozenset(taken), metrics.answered, on_access
        )
        if tracer is not None and respond in _TRACED:
            from gateway.http.traced import TracedEndpoint

            endpoint = TracedEndpoint(endpoint, tracer, path, partial(_queue_of, queues))
        return Route(path, endpoint, methods=[method])

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        side = [asyncio.create_task(coroutine, name=name) for name, coroutine in _side_tasks(queues)]
        for task in side:
            task.add_done_callback(on_side_task_end)
        try:
            yield
        finally:
            await end(*side)
            await page.hub.close()
            await queues.close()

    async def turn_away(request: Request, error: Exception) -> Response:
        request_id = HttpRequest(request.scope, request.receive).id
        response = error_response(error, request_id)
        response.raw_headers.append((b"x-request-id", request_id))
        metrics.turned_away(response.status_code)
        return response

    push = route("POST", "/push", endpoints.push, *push_parameters)
    metrics_route = route("GET", "/metrics", health.metrics)
    metrics_port = settings.metrics_port
    errors = {HTTPException: turn_away, Exception: turn_away}
    app = Starlette(
        routes=[
            push,
            route("POST", "/push/{function}", endpoints.push_function, "wait", *OPTIONS, *webhooks.PARAMETERS),
            *([route("POST", "/queues/{queue}/push", endpoints.push, *push_parameters)] if has_queues else []),
            route("GET", "/status/{id}", endpoints.status, "wait"),
            route("GET", "/data/{id}", endpoints.data, "wait"),
            route("GET", "/events/{id}", events.events, "after"),
            route("GET", "/files/{id}/{name}", download.file),
            route("POST", "/uploads", uploads.uploads, "name"),
            route("PUT", "/uploads/{id}", uploads.upload),
            route("POST", "/cancel/{id}", endpoints.cancel),
            route("POST", "/retry/{id}", endpoints.retry),
            route("GET", "/jobs", listing.list_jobs, "status", "tag", "before", "limit", "name"),
            route("GET", "/jobs/{id}/logs", logs.job_logs, "after"),
            route("POST", "/jobs/purge", listing.purge_jobs, "status", "tag", "name"),
            route("DELETE", "/jobs/{id}", listing.delete_job),
            route("POST", "/batches", push_batch, *OPTIONS, *webhooks.PARAMETERS),
            route("GET", "/batches/{id}", batch_status, "wait"),
            route("GET", "/batches/{id}/results", batch_results, "wait"),
            route("POST", "/batches/{id}/cancel", cancel_batch),
            route("GET", "/overview", page.overview),
            route("GET", "/history", page.history, "seconds"),
            route("GET", "/dead-letters", dead_letters.dead_letters, "type", "before"),
            route("POST", "/dead-letters/requeue", dead_letters.requeue_letters, "type"),
            route("GET", "/inputs/{id}", dead_letters.job_input),
            route("GET", "/webhooks/secrets", webhooks.secrets),
            route("GET", "/webhooks/failed", webhooks.failed, "after"),
            route("POST", "/webhooks/failed/{place}/resend", webhooks.resend),
            route("GET", "/healthz", health.healthz),
            route("GET", "/readyz", health.readyz),
            route("GET", "/openapi.json", health.openapi),
            *([] if metrics_port else [metrics_route]),
            *(_page_routes(page, route) if settings.ui else []),
        ],
        exception_handlers=errors,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.router.default = SingleSlashes(app.router)
    api: ASGIApp = HotPath(app, "POST", "/push", push.endpoint)
    if root_path := settings.root_path:
        api = SubPath(api, root_path)
    if origins := settings.cors_origin_list():
        api = Cors(api, origins, metrics.turned_away)
    if not metrics_port:
        return api
    return PortSwitch(api, metrics_port, Starlette(routes=[metrics_route], exception_handlers=errors))
