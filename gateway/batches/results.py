"""The results of a batch's jobs: a line for each in their order, or a server-sent event for each as it ends."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.batches.following import counts
from gateway.http.bodies.content import LINES
from gateway.http.errors import Problem
from gateway.jobs.events import QUIET, EventResponse
from workers.stream import BATCH_ID_CHARS, GONE, PLACES_AT_ONCE, batch_job_id, is_unavailable
from workers.wire.decode import loads
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from gateway.waits.hearing import BatchEar
    from workers.stream import BatchView, JobView

_PAGE = 50  # jobs whose results are fetched at once; each has at most SMALL_RESULT_BYTES
_SMALL_BYTES = 64 * 1024
_PLACE = re.compile(r"([0-9]{1,15})-([0-9]{1,9})")


async def _views(
    context: Context, request: HttpRequest, job_ids: Sequence[str]
) -> AsyncGenerator[JobView | None, None]:
    """Jobs with their results; a large one is fetched when it is its turn, and held by nobody afterwards."""
    for view in await context.stream.view_many([(job_id, True) for job_id in job_ids], _SMALL_BYTES):
        if view is not None and context.results.missing_bytes(view):
            # In a task of its own, as what a result takes is given back when its task ends.
            yield await asyncio.create_task(context.results.completed(request, view))
        else:
            yield view and context.results.shown(view)


def line_of(job_id: str, view: JobView | None) -> bytes:
    """One job as JSON: its id, its status, and its result or error. The result's own bytes are in it."""
    if view is None:
        return orjson.dumps({"id": job_id, "status": GONE})
    document: dict[str, object] = {"id": job_id, "status": view.status}
    if view.error is not None:
        document["error"] = view.error
    if view.result is not None:
        try:
            loads(view.result)
            # Line ends in JSON are between its parts: in its texts they are escaped.
            document["result"] = orjson.Fragment(b" ".join(view.result.splitlines()))
        except NotJson:  # nothing that this release writes
            document["result"] = view.result.decode(errors="replace")
    return orjson.dumps(document)


class ResultLines(Response):
    """NDJSON: a line for each job in their order, whatever its status."""

    def __init__(self, context: Context, request: HttpRequest, batch: BatchView, headers: Mapping[str, str]) -> None:
        self.status_code = 200
        self.background = None
        self._context = context
        self._request = request
        self._batch = batch
        named = {"content-type": LINES[0], **headers}
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Sends it. It ends early if the server goes away meanwhile: then lines are missing."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        count, batch = self._batch.size, self._batch
        try:
            for first in range(0, count, _PAGE):
                ids = [batch_job_id(batch.id, place) for place in range(first, min(first + _PAGE, count))]
                lines = [
                    line_of(job_id, view)
                    async for job_id, view in _with_ids(ids, _views(self._context, self._request, ids))
                ]
                body = b"\n".join(lines) + b"\n"
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except Exception as error:
            if not (is_unavailable(error) or isinstance(error, Problem | ClientDisconnect)):
                raise
        await send({"type": "http.response.body", "body": b""})


class ResultEvents(EventResponse):
    """Server-sent events: one for each job once it has ended, in the order of the ends, and then the counts.

    An event's id is when its job has ended, in ms, and its place. Whoever comes back with a Last-Event-ID gets the jobs
    that have ended since; those of that very millisecond may come again.
    """

    def __init__(self, context: Context, request: HttpRequest, batch: BatchView) -> None:
        last = request.header(b"last-event-id")
        match = _PLACE.fullmatch(last) if last else None
        if last and not match:
            raise Problem(400, "Last-Event-ID must be the id of an event")
        super().__init__(context, request)
        self._batch = batch
        self._since_ms = int(match[1]) if match else 0
        self._last_place = int(match[2]) if match else -1
        self._is_sent = bytearray(batch.size)
        self._left = batch.size

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        waiters, batch = self._context.waiters, self._batch
        with waiters.batches.listening(batch.id) as ear, waiters.heartbeat.watching(ear):
            self._request.on_leave(ear.ring)
            try:
                ear.is_deaf = True
                while not waiters.closing and not self._request.has_left:
                    async for chunk in self._news(ear):
                        yield chunk
                        waiters.heartbeat.sent(ear)
                    if not self._left:
                        yield b"event: end\ndata: %b\n\n" % orjson.dumps(await counts(self._context, batch))
                        return
                    await ear.wait()
                    if ear.is_quiet:
                        yield QUIET
                        ear.is_quiet = False
                        waiters.heartbeat.sent(ear)
            except ClientDisconnect:
                pass
            except Exception as error:
                if not (is_unavailable(error) or isinstance(error, Problem)):
                    raise

    async def _news(self, ear: BatchEar) -> AsyncGenerator[bytes, None]:
        """Events of the jobs that have ended since, those first that ended first."""
        heard = ear.taken()
        if ear.is_deaf:
            ear.is_deaf = False
            places: Iterable[int] = await self._ended()
        else:
            places = dict.fromkeys(int(job_id[BATCH_ID_CHARS:], 16) for job_id in heard)
        new = [place for place in places if place < self._batch.size and not self._is_sent[place]]
        for first in range(0, len(new), _PAGE):
            page = new[first : first + _PAGE]
            ids = [batch_job_id(self._batch.id, place) for place in page]
            async for job_id, view in _with_ids(ids, _views(self._context, self._request, ids)):
                place = int(job_id[BATCH_ID_CHARS:], 16)
                if view is not None and not view.status.ended:  # it has been retried
                    continue
                self._mark(place)
                at_ms = 0 if view is None else view.finished_ms or 0
                yield b"id: %d-%d\nevent: job\ndata: %b\n\n" % (at_ms, place, line_of(job_id, view))

    async def _ended(self) -> list[int]:
        """The places of all that have ended and were not sent, those first that ended first."""
        found: list[tuple[int, int]] = []
        batch = self._batch
        for first in range(0, batch.size, PLACES_AT_ONCE):
            jobs = await self._context.stream.batches.jobs(batch.id, first, batch.size - first)
            for place, job in enumerate(jobs, first):
                if not job.ended or self._is_sent[place]:
                    continue
                if job.finished_ms < self._since_ms or (job.finished_ms, place) == (self._since_ms, self._last_place):
                    self._mark(place)  # by the answer that was cut
                else:
                    found.append((job.finished_ms, place))
        return [place for _, place in sorted(found)]

    def _mark(self, place: int) -> None:
        if not self._is_sent[place]:
            self._is_sent[place] = 1
            self._left -= 1


async def _with_ids(
    job_ids: Sequence[str], views: AsyncGenerator[JobView | None, None]
) -> AsyncGenerator[tuple[str, JobView | None], None]:
    remaining = iter(job_ids)
    async for view in views:
        yield next(remaining), view
