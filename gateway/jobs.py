"""The job endpoints: push, status, data, cancel, retry."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from gateway.body import read_args
from gateway.errors import Problem, unavailable
from workers.stream import JobView, NewJob, Status, Stream

if TYPE_CHECKING:
    from starlette.requests import Request

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, "application/json")


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stream(request: Request) -> Stream:
    stream: Stream = request.app.state.stream
    return stream


async def _view(request: Request, missing: str, with_result: bool = False) -> JobView:
    job_id = request.path_params["id"]
    view = await _stream(request).view(job_id, with_result) if _ID.fullmatch(job_id) else None
    if view is None:
        raise Problem(404, missing)
    return view


async def push(request: Request) -> Response:
    """POST /push: takes an input, answers 202 with the id once the stream has accepted the job."""
    args = await read_args(request, request.app.state.settings.max_input_bytes)
    pushed = await _stream(request).push(NewJob(secrets.token_hex(16), args))
    if pushed.outcome == "full":
        raise unavailable("the backlog is full")
    return _json({"id": pushed.id}, 202, {"Location": f"/status/{pushed.id}"})


async def status(request: Request) -> Response:
    """GET /status/{id}: the job's status, attempts, times (RFC 3339), error and how many are at most ahead."""
    view = await _view(request, "job not found")
    document = {
        "id": view.id,
        "status": view.status,
        "attempts": view.attempts,
        "queued": _time(view.queued_ms),
        "started": _time(view.started_ms),
        "finished": _time(view.finished_ms),
        "error": view.error,
        "ahead": view.ahead,
    }
    return _json(document)


async def data(request: Request) -> Response:
    """GET /data/{id}: the output and input that `predict` returned, and the latency in seconds from push to finish."""
    missing = "job result not found"
    view = await _view(request, missing, with_result=True)
    if view.result is None or view.finished_ms is None:
        raise Problem(404, missing, id=view.id, job_status=view.status, error=view.error)
    result = orjson.loads(view.result)
    shaped = isinstance(result, dict) and "output" in result
    document = {
        "output": result["output"] if shaped else result,
        "input": result.get("input") if shaped else None,
        "latency": (view.finished_ms - view.queued_ms) / 1000,
        "id": view.id,
    }
    return _json(document)


async def cancel(request: Request) -> Response:
    """POST /cancel/{id}: 200, or 409 if the job has ended."""
    view = await _view(request, "job not found")
    outcome = view.status.value if view.status.ended else await _stream(request).cancel(view.id)
    if outcome == "missing":
        raise Problem(404, "job not found")
    if view.status.ended or outcome != Status.CANCELLED:
        raise Problem(409, f"the job has ended: {outcome}", id=view.id, job_status=outcome)
    return _json({"id": view.id, "status": Status.CANCELLED})


async def retry(request: Request) -> Response:
    """POST /retry/{id}: 202, or 409 if the job has not failed."""
    view = await _view(request, "job not found")
    outcome = await _stream(request).retry(view.id)
    match outcome:
        case "retried":
            return _json({"id": view.id, "status": Status.QUEUED}, 202, {"Location": f"/status/{view.id}"})
        case "missing":
            raise Problem(404, "job not found")
        case "gone":
            raise Problem(409, "the job's input is no longer kept", id=view.id)
        case _:
            raise Problem(409, f"only a failed job can be retried: this one is {outcome}", id=view.id)


async def healthz(_request: Request) -> Response:
    """GET /healthz: the process answers."""
    return _json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """GET /readyz: the stream can be reached."""
    await _stream(request).ping()
    return _json({"status": "ok"})
