"""The job endpoints: push, status, data, cancel, retry."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from gateway.access import NO_JOB, check_function, made, own_job
from gateway.documents.job import data_document, pushed_document, status_document
from gateway.files.inputs import forget, read_input, with_uploads
from gateway.http.bodies.body import PushedInput, read_call
from gateway.http.errors import Problem, unavailable
from gateway.http.idempotency import read_key
from gateway.http.responses import JsonResponse
from gateway.jobs.events import EventStream, wants_events
from gateway.keys.limits import too_many
from gateway.options import NO_PUSH_OPTIONS, PushOptions, read_options
from gateway.waits.waiting import read_wait
from gateway.webhooks import read_webhook
from workers.stream import DEFAULT_FUNCTION, JobView, NewJob, Pushed, Status, is_unavailable
from workers.telemetry.log_job import about
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Context
    from gateway.http.request import HttpRequest

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NO_RESULT = "job result not found"


async def push(context: Context, request: HttpRequest) -> Response:
    """POST /push: takes an input, answers 202 with the id once the stream has accepted the job.

    If the client waits, the answer is the status document: with 200 if the job has ended, and then also with the
    data document's members if it has a result.
    """
    settings = context.settings
    caller = context.api_keys.caller(request)
    owner = caller.owner
    check_function(context, DEFAULT_FUNCTION)
    wait_s, headers = read_wait(request, settings.max_wait_s)
    webhook = read_webhook(context, request, caller)
    options = read_options(request, settings, caller.highest_priority)
    job_id = context.new_id()
    given = await read_input(context, request, job_id)
    try:
        key, fingerprint = read_key(request, owner, given.fingerprinted, options.text + webhook.encode())
        _check_input(context, given.value)
        args = given.args if context.stored is None else await context.stored.put_args(job_id, given.args)
        job = NewJob(job_id, args, owner=owner, limits=caller.limits)
        if key or webhook or args is not given.args or given.has_files:
            stored_bytes = given.files_bytes + len(given.args) - len(args)
            job = job._replace(idempotency_key=key, fingerprint=fingerprint, webhook=webhook, stored_bytes=stored_bytes)
        if options is not NO_PUSH_OPTIONS:
            job = _with_options(job, options)
        return await _answer(context, request, job, wait_s, headers)
    except Problem:  # the job was not accepted
        if given.has_files or (context.stored and len(given.args) > settings.inline_bytes):
            await forget(context, job_id)
        raise


async def push_function(context: Context, request: HttpRequest) -> Response:
    """POST /push/{function}: the same for a function that PUSH_FUNCTIONS names, with its arguments as the body."""
    settings = context.settings
    caller = context.api_keys.caller(request)
    owner = caller.owner
    function = request.path_parameter("function")
    check_function(context, function)
    wait_s, headers = read_wait(request, settings.max_wait_s)
    webhook = read_webhook(context, request, caller)
    options = read_options(request, settings, caller.highest_priority)
    args, kwargs = await read_call(request, settings.max_input_bytes, settings.body_timeout_s)
    call = b"[[%b,%b,%b]]" % (orjson.dumps(function), args, kwargs or b"{}")
    key, fingerprint = read_key(request, owner, call, options.text + webhook.encode())
    job_id = context.new_id()
    job = NewJob(
        job_id, args, function, kwargs, owner=owner, idempotency_key=key, fingerprint=fingerprint, webhook=webhook,
        limits=caller.limits,
    )  # fmt: skip
    job = _with_options(job, options)
    if function == DEFAULT_FUNCTION:
        return await _answer_call(context, request, job, wait_s, headers)
    return await _answer(context, request, job, wait_s, headers)


async def _answer_call(
    context: Context, request: HttpRequest, job: NewJob, wait_s: float, headers: dict[str, str]
) -> Response:
    """Answers a call of the model's function. With its one argument it is as a push of that input.

    Any other call is for the worker to refuse.
    """
    args, kwargs = loads(job.args), loads(job.kwargs or b"{}")
    if kwargs.keys() == {"input"} and not args:
        args = [kwargs["input"]]
    elif len(args) != 1 or kwargs:
        return await _answer(context, request, job, wait_s, headers)
    body = encode_exactly(args) if kwargs else job.args
    given = await with_uploads(context, request, job.id, PushedInput(body, args[0], body))
    try:
        _check_input(context, given.value)
        stored = given.args if context.stored is None else await context.stored.put_args(job.id, given.args)
        stored_bytes = given.files_bytes + len(given.args) - len(stored)
        job = job._replace(args=stored, kwargs=b"", stored_bytes=stored_bytes)
        return await _answer(context, request, job, wait_s, headers)
    except Problem:  # the job was not accepted
        if context.stored and (given.has_files or len(given.args) > context.settings.inline_bytes):
            await forget(context, job.id)
        raise


def _with_options(job: NewJob, options: PushOptions) -> NewJob:
    return job._replace(options=options.job, defer_ms=options.delay_ms, due_ms=options.at_ms)


def _check_input(context: Context, value: Any) -> None:
    """Raises Problem 422 for an input that the model does not take. The push does not use up its Idempotency-Key."""
    try:
        context.schemas.check(value)
    except Problem:
        context.metrics.pushed("invalid")
        raise


async def _answer(
    context: Context, request: HttpRequest, job: NewJob, wait_s: float, headers: dict[str, str]
) -> Response:
    if wants_events(request):
        return await _answer_with_events(context, request, job, wait_s)
    if not wait_s:
        return _accepted(context, (await _accept(context, request, job)).id, headers)
    waiters = context.waiters
    with waiters.place() as waiter, waiters.ended.listening(waiter, job.id), waiters.in_step.waiting():
        pushed = await _accept(context, request, job._replace(waits_at=waiters.name))
        job_id, is_new = pushed.id, pushed.outcome == "accepted"
        try:
            view = await waiters.view(waiter, request, job_id, wait_s, with_result=True, is_new=is_new)
            view = view and await context.results.completed(request, view)
        except Exception as error:
            if not (is_unavailable(error) or isinstance(error, Problem)):
                raise
            # The job is accepted all the same, and the client must learn its id.
            view = None
    if view is None:
        return _accepted(context, job_id, headers)
    headers = _with_location(context, job_id, headers)
    return JsonResponse(await made(pushed_document, view), 200 if view.status.ended else 202, headers)


async def _answer_with_events(context: Context, request: HttpRequest, job: NewJob, wait_s: float) -> Response:
    if wait_s and "wait" in request.query:
        raise Problem(400, "text/event-stream lasts until the job has ended: leave out wait", parameters=["wait"])
    answer = EventStream(context, request)
    try:
        pushed = await _accept(context, request, job)
    except BaseException:
        answer.close()
        raise
    return answer.of(pushed.id, headers=_with_location(context, pushed.id, {}))


async def _accept(context: Context, request: HttpRequest, job: NewJob) -> Pushed:
    """What has become of the push, with the id of its job or of the one before it. Raises Problem (422, 429, 503)."""
    pushed = await context.stream.push(job)
    context.metrics.pushed(pushed.outcome)
    if pushed.outcome == "limited":
        raise too_many(pushed, job.limits)
    if pushed.outcome == "full":
        raise unavailable("the backlog is full")
    if pushed.outcome == "conflict":
        raise Problem(422, "the Idempotency-Key was used with another input or other options before")
    if pushed.id != job.id and job.id.encode() in job.args:  # what it has in the store has that in its URLs
        await forget(context, job.id)
    _log(context, request, pushed.id, pushed.outcome)
    return pushed


def _log(context: Context, request: HttpRequest, job_id: str, done: str) -> None:
    """Says what a request has done with a job, if its client has named it. Others would only fill the log."""
    if request.has_own_id:
        queue = context.settings.queue_name
        logger.info("request %s: job %s %s", request.id.decode(), job_id, done, extra=about(job_id, queue=queue))


def _accepted(context: Context, job_id: str, headers: dict[str, str]) -> Response:
    return JsonResponse({"id": job_id}, 202, _with_location(context, job_id, headers))


def _with_location(context: Context, job_id: str, headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Location": context.status_path + job_id}


async def _own_ended(
    context: Context, request: HttpRequest, missing: str = NO_JOB, with_result: bool = False
) -> tuple[JobView, dict[str, str]]:
    """The job that the path names, once it has ended or the client's wait is over, and headers for the answer.

    Raises Problem (400, 401, 404, 503).
    """
    owner = context.api_keys.owner(request)
    wait_s, headers = read_wait(request, context.settings.max_wait_s)
    view: JobView | None = await own_job(context, request, owner, missing, with_result)
    if view and wait_s and not view.status.ended:
        with context.waiters.place() as waiter:
            view = await context.waiters.view(waiter, request, view.id, wait_s, with_result)
    if view is not None:
        view = await context.results.completed(request, view)
    if view is None:
        raise Problem(404, missing)
    return view, headers


async def status(context: Context, request: HttpRequest) -> Response:
    """GET /status/{id}: the status document."""
    view, headers = await _own_ended(context, request)
    return JsonResponse(status_document(view), headers=headers)


async def data(context: Context, request: HttpRequest) -> Response:
    """GET /data/{id}: the data document."""
    view, headers = await _own_ended(context, request, _NO_RESULT, with_result=True)
    document = await made(data_document, view)
    if document is None:
        raise Problem(404, _NO_RESULT, headers, id=view.id, job_status=view.status, error=view.error)
    return JsonResponse(document, headers=headers)


async def cancel(context: Context, request: HttpRequest) -> Response:
    """POST /cancel/{id}: 200, or 409 if the job has ended."""
    view = await own_job(context, request, context.api_keys.owner(request))
    outcome = view.status.value if view.status.ended else await context.stream.cancel(view.id)
    if outcome == "missing":
        raise Problem(404, NO_JOB)
    if view.status.ended or outcome != Status.CANCELLED:
        raise Problem(409, f"the job has ended: it is {outcome}", id=view.id, job_status=outcome)
    _log(context, request, view.id, outcome)
    return JsonResponse({"id": view.id, "status": Status.CANCELLED})


async def retry(context: Context, request: HttpRequest) -> Response:
    """POST /retry/{id}: 202, or 409 if the job has not failed."""
    view = await own_job(context, request, context.api_keys.owner(request))
    outcome = await context.stream.retry(view.id)
    match outcome:
        case "retried":
            _log(context, request, view.id, outcome)
            return JsonResponse({"id": view.id, "status": Status.QUEUED}, 202, _with_location(context, view.id, {}))
        case "missing":
            raise Problem(404, NO_JOB)
        case "gone":
            raise Problem(409, "the job's input is no longer kept", id=view.id, job_status=view.status)
        case _:
            raise Problem(409, f"only a failed job can be retried: it is {outcome}", id=view.id, job_status=outcome)
