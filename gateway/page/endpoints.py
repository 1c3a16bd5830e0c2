"""The endpoints of the page: its files, the overview as it changes, and the history."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from gateway.jobs.events import EventResponse, wants_events
from gateway.page.hub import OverviewHub
from gateway.page.overview import scaler_of
from gateway.page.shell import Shell
from gateway.page.steps import points, read_steps
from workers.stream import HISTORY_STEP_S, HISTORY_STEPS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from starlette.responses import Response

    from gateway.context import Context
    from gateway.http.request import HttpRequest

MOST_HISTORY_S = HISTORY_STEPS * HISTORY_STEP_S
HISTORY_S = 3600
# More points than a chart has pixels for are joined.
_MOST_POINTS = 720
_SECONDS = re.compile(r"[0-9]{1,5}")
_ROUND_S = 1.0
_QUIET_ROUNDS = 15
_QUIET = b": nothing new\n\n"


class PageEndpoints:
    """What the endpoints of the page share in one process."""

    def __init__(self, contexts: Sequence[Context]) -> None:
        self.hub = OverviewHub({context.settings.queue_name: context.stream for context in contexts})
        self._shell = Shell()

    async def page(self, _context: Context, request: HttpRequest) -> Response:
        """GET / and /ui: the page."""
        return self._shell.respond(request)

    async def page_file(self, _context: Context, request: HttpRequest) -> Response:
        """GET /ui/{file}: a file of the page. Raises Problem 404."""
        return self._shell.respond(request, request.path_parameter("file"))

    async def overview(self, context: Context, request: HttpRequest) -> Response:
        """GET /overview: all queues now, or as events while they change. A key's holder sees no other's jobs."""
        caller = context.api_keys.caller(request)
        sees_jobs = caller.is_admin or not context.api_keys.callers
        if wants_events(request):
            return OverviewStream(context, request, self.hub, sees_jobs)
        return JsonResponse(await self.hub.read(sees_jobs))

    async def history(self, context: Context, request: HttpRequest) -> Response:
        """GET /history: the last hour of a queue, or as many seconds of the last day as are asked for."""
        context.api_keys.owner(request)
        seconds = _seconds(request)
        overviews = context.stream.overviews
        glance = await overviews.read()
        steps = read_steps(await overviews.history(glance.now_ms - (seconds + HISTORY_STEP_S) * 1000))
        width_s = HISTORY_STEP_S * -(-seconds // (HISTORY_STEP_S * _MOST_POINTS))
        scaler = scaler_of(glance)
        return JsonResponse(
            {
                "now": glance.now_ms,
                "step_s": width_s,
                "objective_s": scaler.objective_s if scaler else None,
                "startup_s": scaler.startup_s if scaler else None,
                "points": points(steps, width_s * 1000),
            }
        )


class OverviewStream(EventResponse):
    """The overview as it changes, until the client goes, the gateway ends or the overview can't be read.

    The client comes back by itself when the answer ends.
    """

    def __init__(self, context: Context, request: HttpRequest, hub: OverviewHub, sees_jobs: bool) -> None:
        super().__init__(context, request)
        self._hub = hub
        self._sees_jobs = sees_jobs

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        waiters = self._context.waiters
        disconnect = asyncio.create_task(self._request.disconnected())
        seen = quiet = 0
        try:
            with self._hub.listening() as reading:
                while not (reading.done() or waiters.closing or disconnect.done()):
                    seen, event = await self._hub.next(seen, self._sees_jobs, _ROUND_S)
                    quiet = 0 if event else quiet + 1
                    if event or quiet % _QUIET_ROUNDS == 0:
                        yield event or _QUIET
        finally:
            disconnect.cancel()


def _seconds(request: HttpRequest) -> int:
    text = request.query.get("seconds", str(HISTORY_S))
    if not _SECONDS.fullmatch(text) or not HISTORY_STEP_S <= int(text) <= MOST_HISTORY_S:
        text = f"seconds must be a whole number from {HISTORY_STEP_S} to {MOST_HISTORY_S}"
        raise Problem(400, text, parameters=["seconds"])
    return int(text)
