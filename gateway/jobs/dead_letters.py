"""The endpoints of jobs that failed and whose payloads are kept: list them, and run all of a kind again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access import own_job
from gateway.documents.job import time_text
from gateway.documents.openapi.page_paths import MOST_KIND_CHARS, MOST_LETTERS
from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from workers.objects.names import rooted
from workers.stream import is_entry

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import LetterView

_MOST_CALLS = 20
_REQUEUED_AT_ONCE = 100


async def dead_letters(context: Context, request: HttpRequest) -> Response:
    """GET /dead-letters: the caller's dead letters (an admin's are all), newest first, and the next page's place."""
    owner, kind, before = _owner(context, request), _kind(request), request.query.get("before", "")
    if "before" in request.query and not is_entry(before):
        raise Problem(400, "before must be what the page before has in its member next", parameters=["before"])
    found: list[LetterView] = []
    for _ in range(_MOST_CALLS):
        page = await context.stream.letters.page(owner, before, MOST_LETTERS - len(found), kind)
        found += page.letters
        before = page.next
        if not before or len(found) == MOST_LETTERS:
            break
    letters = [
        {
            "id": one.id,
            "function": one.function,
            "attempts": one.attempts,
            "failed": time_text(int(one.entry.partition("-")[0])),
            "error": one.error,
        }
        for one in found
    ]
    return JsonResponse({"letters": letters, "next": before or None})


async def requeue_letters(context: Context, request: HttpRequest) -> Response:
    """POST /dead-letters/requeue?type=: runs all of the caller's dead letters of a type of error again."""
    owner, kind = _owner(context, request), _kind(request)
    if not kind:
        raise Problem(400, "requeue needs a type: that of the errors of the jobs to run again", parameters=["type"])
    before, requeued = "", 0
    while True:
        page = await context.stream.letters.page(owner, before, _REQUEUED_AT_ONCE, kind)
        for letter in page.letters:
            requeued += await context.stream.requeue(letter.entry)
        before = page.next
        if not before or request.gone:
            return JsonResponse({"requeued": requeued})


async def job_input(context: Context, request: HttpRequest) -> Response:
    """GET /inputs/{id}: what was pushed, of a job that has not finished. Raises Problem (404, 503)."""
    view = await own_job(context, request, context.api_keys.owner(request))
    most_bytes = context.settings.max_input_bytes
    args = await context.stream.letters.input_of(view.id, most_bytes + 2)
    if args and context.stored is not None:
        args = await context.stored.pushed_args(view.id, args, most_bytes)
    if not args:
        raise Problem(404, "the input of this job is not kept here: of a finished job, its data document has it")
    return JsonResponse(b'{"args":%b}' % rooted(args, view.id, context.settings.root_path))


def _owner(context: Context, request: HttpRequest) -> str | None:
    caller = context.api_keys.caller(request)
    return None if caller.is_admin else caller.owner


def _kind(request: HttpRequest) -> str:
    kind = request.query.get("type", "")
    if len(kind) > MOST_KIND_CHARS or ("type" in request.query and not kind):
        raise Problem(400, f"type must have 1 to {MOST_KIND_CHARS} characters", parameters=["type"])
    return kind
