"""The log lines that a job's model has written (`Job.log`), which are kept with the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.access import own_job
from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from workers.stream import is_entry
from workers.wire.decode import loads
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import JobEvent

_LOG = "log"
_PAGE = 1000  # events in one call
_MOST_CALLS = 20  # for one answer: partial results of a long stream may be between two lines


async def job_logs(context: Context, request: HttpRequest) -> Response:
    """GET /jobs/{id}/logs: the lines behind the place that `?after=` names, oldest first; and where the next begin."""
    view = await own_job(context, request, context.api_keys.owner(request))
    after = request.query.get("after", "")
    if "after" in request.query and not is_entry(after):
        raise Problem(400, "after must be what the page before has in its member next", parameters=["after"])
    lines: list[dict[str, str]] = []
    for _ in range(_MOST_CALLS):
        events = await context.stream.events(view.id, after, _PAGE)
        lines += [{"place": event.entry, "text": _text(event)} for event in events if event.kind == _LOG]
        if not events:
            break
        after = events[-1].entry
        if len(lines) >= _PAGE:
            break
    return JsonResponse({"id": view.id, "lines": lines, "next": after or None})


def _text(event: JobEvent) -> str:
    try:
        value = loads(event.value)
    except NotJson:  # nothing that this release writes
        return event.value.decode(errors="replace")
    return value if isinstance(value, str) else orjson.dumps(value).decode()
