"""What a job tells while it runs: in pages, or as server-sent events (the HTML standard's text/event-stream)."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.access import made, own_job
from gateway.documents.job import events_document, pushed_document
from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from workers.objects.names import rooted
from workers.stream import EVENTS_BYTES, is_entry, is_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import JobEvent, JobView

_PAGE = 100
QUIET = b": nothing new\n\n"
SLOW_SHARE = 0.5
"""Of WRITE_TIMEOUT_S: a client that takes longer to read what it was sent is told so, while that can reach it."""
_CUT = b"event: cut\ndata: %b\n\n"
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
EVENT_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}


async def events(context: Context, request: HttpRequest) -> Response:
    """GET /events/{id}: what the job has told behind the event that `?after=` or Last-Event-ID names.

    A page of it, or with `Accept: text/event-stream` all of it as it comes, up to the job's end.
    """
    view = await own_job(context, request, context.api_keys.owner(request))
    after = request.query.get("after", "")
    if after and not is_entry(after):
        text = "after must be the place of an event, as the page before has it in its member next"
        raise Problem(400, text, parameters=["after"])
    if not wants_events(request):
        return JsonResponse(events_document(view.id, after, await _page_of(context, view.id, after)))
    last = request.header(b"last-event-id") or after
    if last and not is_entry(last):
        raise Problem(400, "Last-Event-ID must be the id of an event")
    return EventStream(context, request).of(view.id, last)


async def _page_of(context: Context, job_id: str, after: str, count: int = 1000) -> list[JobEvent]:
    """A page of events, with the URLs of files as clients need them."""
    found, root_path = await context.stream.events(job_id, after, count), context.settings.root_path
    return [one._replace(value=rooted(one.value, job_id, root_path)) for one in found] if root_path else found


def wants_events(request: HttpRequest) -> bool:
    """Whether the client asks for server-sent events."""
    if request.header(b"accept") is None:
        return False
    return any("text/event-stream" in accepted.lower() for accepted in request.headers(b"accept"))


class EventResponse(Response, ABC):
    """Server-sent events that are made while they are sent. It holds the place of a waiter, `_place`, up to its end.

    The constructor raises Problem 503 if there is none.

    A client that takes too long to read what it was sent (`SLOW_SHARE`) is cut off: the last event, `cut`, says so. One
    that takes nothing at all for WRITE_TIMEOUT_S loses its connection.
    """

    def __init__(self, context: Context, request: HttpRequest) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = [(name.encode(), value.encode()) for name, value in EVENT_HEADERS.items()]
        self._context = context
        self._request = request
        self._place = context.waiters.place()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Sends it; of an answer to HEAD the head, at once."""
        with self._place:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            async with contextlib.aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    message = {"type": "http.response.body", "body": chunk, "more_body": True}
                    if not self._request.is_behind:
                        await send(message)
                    elif not await self._has_sent(send, message):
                        return
            await send({"type": "http.response.body", "body": b""})

    async def _has_sent(self, send: Send, message: Message) -> bool:
        """Sends the message once the client has taken the one before. If that takes too long, ends the answer."""
        most_s = self._context.settings.write_timeout_s * SLOW_SHARE
        try:
            async with asyncio.timeout(most_s):
                await send(message)
        except TimeoutError:
            self._context.budget.cuts["slow listener"] += 1
            detail = f"what was sent was not read within {most_s:g} s: ask again with the last id as Last-Event-ID"
            cut = _CUT % orjson.dumps({"reason": "slow", "detail": detail})
            with self._request.past_flow_control():
                await send({"type": "http.response.body", "body": cut, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            return False
        return True

    @abstractmethod
    def _chunks(self) -> AsyncGenerator[bytes, None]: ...


class EventStream(EventResponse):
    """A job's events as they come, and at its end the status document with the result's members.

    If the client is cut off, the server is away or the gateway stops, the answer ends before the job: the client asks
    again, with the id of the last event that it has.
    """

    def __init__(self, context: Context, request: HttpRequest) -> None:
        super().__init__(context, request)
        self._job_id = self._after = ""

    def of(self, job_id: str, after: str = "", headers: Mapping[str, str] | None = None) -> EventStream:
        """Itself, for the events of this job behind the event `after`."""
        self._job_id, self._after = job_id, after
        self.raw_headers += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        return self

    def close(self) -> None:
        """Gives its place back: it is not sent."""
        self._place.close()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, or a comment after some time without any."""
        waiters, waiter, job_id = self._context.waiters, self._place.waiter, self._job_id
        self._request.on_leave(waiter.ring)
        with (
            waiters.ended.listening(waiter, job_id),
            waiters.told.listening(waiter, job_id),
            waiters.heartbeat.watching(waiter),
        ):
            try:
                while not waiters.closing:
                    waiter.bell = asyncio.get_running_loop().create_future()
                    chunk, what_follows = await self._news()
                    if chunk or waiter.is_quiet:
                        yield chunk or QUIET
                        waiter.is_quiet = False
                        waiters.heartbeat.sent(waiter)
                    # Whoever has closed one side of the connection gets what there is: most are gone.
                    if what_follows == "end" or self._request.has_left:
                        return
                    if what_follows == "later":
                        await waiter.bell
            except ClientDisconnect:
                pass
            except Exception as error:
                if not (is_unavailable(error) or isinstance(error, Problem)):
                    raise

    async def _news(self) -> tuple[bytes, Literal["more", "later", "end"]]:
        """What the job has told since, and whether more is there, comes later, or never.

        A job that has told nothing has an end, too.
        """
        stream = self._context.stream
        chunks: list[bytes] = []
        page = await _page_of(self._context, self._job_id, self._after, _PAGE)
        for event in page:
            self._after = event.entry
            value = await self._end() or event.value if event.is_last else event.value
            chunks.append(b"id: %b\nevent: %b\ndata: %b\n\n" % (event.entry.encode(), event.kind.encode(), value))
            if event.is_last:
                return b"".join(chunks), "end"
        if page:
            is_full = len(page) == _PAGE or sum(len(event.value) for event in page) >= EVENTS_BYTES
            return b"".join(chunks), "more" if is_full else "later"
        view = await stream.view(self._job_id)
        if view is None:
            return b"", "end"
        if not view.status.ended:
            return b"", "later"
        # Its last events may have come between the two looks.
        if await stream.events(self._job_id, self._after, 1):
            return await self._news()
        return b"event: end\ndata: %b\n\n" % await self._end(), "end"

    async def _end(self) -> bytes:
        """The job once it has ended, as JSON in one line; empty if it is not there any more."""
        context = self._context
        view: JobView | None = await context.stream.view_small(self._job_id)
        view = view and await context.results.completed(self._request, view)
        if view is None:
            return b""
        document = await made(pushed_document, view)
        if not isinstance(document, bytes):
            return orjson.dumps(document)
        # The input in it is as it was pushed, perhaps in several lines. JSON's texts have no such ends in them.
        return document.translate(_LINE_ENDS)
