"""The endpoints of batches: push, status, results, cancel."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from gateway.access import check_function
from gateway.batches.following import counts, own_batch, until_ended
from gateway.batches.intake import Intake
from gateway.batches.results import ResultEvents, ResultLines
from gateway.documents.job import time_text
from gateway.http.errors import Problem, unavailable
from gateway.http.idempotency import hashed_key
from gateway.http.responses import JsonResponse
from gateway.jobs.events import wants_events
from gateway.keys.limits import too_many
from gateway.options import read_options
from gateway.waits.waiting import read_wait
from gateway.webhooks import read_webhook
from workers.stream import BATCH_ID_CHARS, DEFAULT_FUNCTION, GONE, NewBatch, Status, batch_job_id

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import BatchView, Pushed

logger = logging.getLogger(__name__)

_ENDED = (*(status.value for status in Status if status.ended), GONE)


async def push_batch(context: Context, request: HttpRequest) -> Response:
    """POST /batches: takes inputs, answers 202 with the ids of their jobs once the stream has accepted all of them."""
    caller = context.api_keys.caller(request)
    check_function(context, DEFAULT_FUNCTION)
    webhook = read_webhook(context, request, caller)
    options = read_options(request, context.settings, caller.highest_priority)
    key = hashed_key(request, f"batch {caller.owner}")
    batch_id = context.new_id(BATCH_ID_CHARS)
    intake = Intake(context, batch_id, caller.owner, bool(key))
    are_jobs: bool | None = False
    try:
        await intake.read(request)
        fingerprint = key and hashlib.sha256(intake.fingerprint.encode() + options.text + webhook.encode()).hexdigest()
        new = NewBatch(
            batch_id, intake.count, DEFAULT_FUNCTION, caller.owner, key, fingerprint,
            options.delay_ms, options.at_ms, options.job, webhook, caller.limits, intake.size_bytes,
        )  # fmt: skip
        are_jobs = None
        pushed = await context.stream.batches.push(new, intake.rest)
        # A call that is repeated finds the batch there.
        are_jobs = pushed is not None and pushed.outcome in ("accepted", "existing") and pushed.id == batch_id
    except Problem as problem:
        if problem.status == 422:
            context.metrics.pushed("invalid")
        raise
    finally:
        await intake.close(are_jobs)
    if pushed is not None and pushed.outcome == "limited":
        context.metrics.pushed(pushed.outcome, intake.count)
        raise too_many(pushed, caller.limits)
    return _accepted(context, request, pushed, intake.count)


def _accepted(context: Context, request: HttpRequest, pushed: Pushed | None, count: int) -> Response:
    if pushed is None:
        raise unavailable("the batch took too long: what had come was given up")
    context.metrics.pushed(pushed.outcome, count)
    if pushed.outcome == "full":
        raise unavailable(f"the backlog has no room for {count} jobs")
    if pushed.outcome == "conflict":
        raise Problem(422, "the Idempotency-Key was used with other inputs or other options before")
    if request.has_own_id:
        logger.info("request %s: batch %s %s", request.id.decode(), pushed.id, pushed.outcome)
    document = {"id": pushed.id, "count": count, "jobs": [batch_job_id(pushed.id, place) for place in range(count)]}
    return JsonResponse(document, 202, {"Location": f"{context.settings.root_path}/batches/{pushed.id}"})


async def batch_status(context: Context, request: HttpRequest) -> Response:
    """GET /batches/{id}: how many of its jobs have each status."""
    batch, headers = await _waited(context, request)
    return JsonResponse(await _document(context, batch), headers=headers)


async def batch_results(context: Context, request: HttpRequest) -> Response:
    """GET /batches/{id}/results: a line of JSON for each job, in their order; or an event for each as it ends."""
    if wants_events(request):
        if "wait" in request.query:
            raise Problem(400, "text/event-stream lasts until all jobs have ended: leave out wait", parameters=["wait"])
        batch = await own_batch(context, request, context.api_keys.owner(request))
        return ResultEvents(context, request, batch)
    batch, headers = await _waited(context, request)
    return ResultLines(context, request, batch, headers)


async def cancel_batch(context: Context, request: HttpRequest) -> Response:
    """POST /batches/{id}/cancel: cancels those of its jobs that have not ended, and says how many these were."""
    batch = await own_batch(context, request, context.api_keys.owner(request))
    cancelled = await context.stream.batches.cancel(batch)
    if request.has_own_id:
        logger.info("request %s: batch %s: %d jobs cancelled", request.id.decode(), batch.id, cancelled)
    return JsonResponse({"id": batch.id, "cancelled": cancelled})


async def _waited(context: Context, request: HttpRequest) -> tuple[BatchView, dict[str, str]]:
    owner = context.api_keys.owner(request)
    wait_s, headers = read_wait(request, context.settings.max_wait_s)
    batch = await own_batch(context, request, owner)
    if wait_s:
        await until_ended(context, request, batch, wait_s)
    return batch, headers


async def _document(context: Context, batch: BatchView) -> dict[str, Any]:
    by_status = await counts(context, batch)
    return {
        "id": batch.id,
        "count": batch.size,
        "queued": time_text(batch.queued_ms),
        "ended": sum(by_status[name] for name in _ENDED) == batch.size,
        "counts": by_status,
    }
