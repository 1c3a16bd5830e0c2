"""The job endpoints: push, status, data, cancel, retry."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from gateway.documents import JsonResponse, data_document, status_document
from gateway.http.body import read_args
from gateway.http.errors import Problem, unavailable
from gateway.http.idempotency import read_key
from gateway.waiting import read_wait
from workers.stream import JobView, NewJob, Status, is_unavailable

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Parts
    from gateway.http.request import Call

ID_PATTERN = "[A-Za-z0-9_.:-]{1,128}"
_ID = re.compile(ID_PATTERN)
_NO_JOB = "job not found"
_NO_RESULT = "job result not found"


async def push(call: Call) -> Response:
    """POST /push: takes an input, answers 202 with the id once the stream has accepted the job.

    With a wait: the status document, and with status 200 and the data document's members once it is finished.
    """
    parts = call.parts
    settings = parts.settings
    owner = parts.api_keys.owner(call)
    wait_s, headers = read_wait(call, settings.max_wait_s)
    args = await read_args(call, settings.max_input_bytes, settings.body_timeout_s)
    key, fingerprint = read_key(call, owner, args)
    job = NewJob(os.urandom(16).hex(), args, owner=owner, idempotency_key=key, fingerprint=fingerprint)
    if not wait_s:
        return _accepted(await _accept(parts, job), headers)
    with parts.waiters.place() as waiter:
        job_id = await _accept(parts, job)
        try:
            view = await parts.waiters.view(waiter, call, job_id, wait_s, with_result=True)
        except Exception as error:
            if not is_unavailable(error):
                raise
            # It is accepted all the same, and its id must not be lost.
            view = None
    if view is None:
        return _accepted(job_id, headers)
    document = status_document(view) | (data_document(view) or {})
    return JsonResponse(document, 200 if view.status.ended else 202, _with_location(headers, job_id))


async def _accept(parts: Parts, job: NewJob) -> str:
    """The id of the job, or of the one that its idempotency key stands for. Raises Problem (422, 503)."""
    pushed = await parts.stream.push(job)
    parts.metrics.pushed(pushed.outcome)
    if pushed.outcome == "full":
        raise unavailable("the backlog is full")
    if pushed.outcome == "conflict":
        raise Problem(422, "the Idempotency-Key was used with another input before")
    return pushed.id


def _accepted(job_id: str, headers: dict[str, str]) -> Response:
    return JsonResponse({"id": job_id}, 202, _with_location(headers, job_id))


def _with_location(headers: dict[str, str], job_id: str) -> dict[str, str]:
    return {**headers, "Location": f"/status/{job_id}"}


async def _own(call: Call, owner: str, missing: str = _NO_JOB, with_result: bool = False) -> JobView:
    """The job that the path names. Raises Problem 404 where there is none, or it is not the owner's."""
    parts = call.parts
    job_id = call.job_id
    view = await parts.stream.view(job_id, with_result) if _ID.fullmatch(job_id) else None
    if view is None or view.owner != owner:
        raise Problem(404, missing)
    return view


async def _own_ended(call: Call, missing: str = _NO_JOB, with_result: bool = False) -> tuple[JobView, dict[str, str]]:
    """The same, after the wait that the client asks for; with headers for the answer."""
    parts = call.parts
    owner = parts.api_keys.owner(call)
    wait_s, headers = read_wait(call, parts.settings.max_wait_s)
    view: JobView | None = await _own(call, owner, missing, with_result)
    if view and wait_s and not view.status.ended:
        with parts.waiters.place() as waiter:
            view = await parts.waiters.view(waiter, call, view.id, wait_s, with_result)
    if view is None:
        raise Problem(404, missing)
    return view, headers


async def status(call: Call) -> Response:
    """GET /status/{id}: the status document."""
    view, headers = await _own_ended(call)
    return JsonResponse(status_document(view), headers=headers)


async def data(call: Call) -> Response:
    """GET /data/{id}: the data document."""
    view, headers = await _own_ended(call, _NO_RESULT, with_result=True)
    document = data_document(view)
    if document is None:
        raise Problem(404, _NO_RESULT, headers, id=view.id, job_status=view.status, error=view.error)
    return JsonResponse(document, headers=headers)


async def cancel(call: Call) -> Response:
    """POST /cancel/{id}: 200, or 409 if the job has ended."""
    view = await _own(call, call.parts.api_keys.owner(call))
    outcome = view.status.value if view.status.ended else await call.parts.stream.cancel(view.id)
    if outcome == "missing":
        raise Problem(404, _NO_JOB)
    if view.status.ended or outcome != Status.CANCELLED:
        raise Problem(409, f"the job has ended: it is {outcome}", id=view.id, job_status=outcome)
    return JsonResponse({"id": view.id, "status": Status.CANCELLED})


async def retry(call: Call) -> Response:
    """POST /retry/{id}: 202, or 409 if the job has not failed."""
    view = await _own(call, call.parts.api_keys.owner(call))
    outcome = await call.parts.stream.retry(view.id)
    match outcome:
        case "retried":
            return JsonResponse({"id": view.id, "status": Status.QUEUED}, 202, _with_location({}, view.id))
        case "missing":
            raise Problem(404, _NO_JOB)
        case "gone":
            raise Problem(409, "the job's input is no longer kept", id=view.id, job_status=view.status)
        case _:
            raise Problem(409, f"only a failed job can be retried: it is {outcome}", id=view.id, job_status=outcome)
