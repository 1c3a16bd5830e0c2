"""The endpoints of many jobs at once, and of forgetting: list, delete, purge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.access import NO_JOB, own_job
from gateway.documents.job import status_document
from gateway.documents.openapi.list_paths import MOST_IN_A_PAGE, PAGE
from gateway.files.inputs import forget
from gateway.http.api_keys import NAME, owner_of_name
from gateway.http.errors import Problem
from gateway.http.responses import JsonResponse
from gateway.options import read_tag
from workers.stream import Status

if TYPE_CHECKING:
    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import JobView

_COUNT = re.compile(r"[0-9]{1,4}")
# Calls of the server for one page; each looks at 1,000 jobs.
_MOST_CALLS = 20


async def list_jobs(context: Context, request: HttpRequest) -> Response:
    """GET /jobs: the owner's jobs, newest first, and where the next page begins; an admin's list has everybody's."""
    caller = context.api_keys.caller(request)
    owner = None if caller.is_admin and "name" not in request.query else _owner(context, request)
    status, tag = _status(request), read_tag(request.query, context.settings.max_tag_chars) or ""
    limit, before = _limit(request), request.query.get("before", "")
    if "before" in request.query and not before:
        raise _bad_place()
    found: list[JobView] = []
    for _ in range(_MOST_CALLS):
        try:
            page = await context.stream.index.page(owner, before, limit - len(found), status, tag)
        except ValueError:
            raise _bad_place() from None
        found += page.jobs
        before = page.next
        if not before or len(found) == limit:
            break
    return JsonResponse({"jobs": [status_document(view) for view in found], "next": before or None})


async def delete_job(context: Context, request: HttpRequest) -> Response:
    """DELETE /jobs/{id}: ends the job if it has not ended, and forgets its input, result, events and files."""
    view = await own_job(context, request, context.api_keys.owner(request))
    if not await context.stream.index.delete([view.id]):
        raise Problem(404, NO_JOB)
    await forget(context, view.id)
    return Response(status_code=204)


async def purge_jobs(context: Context, request: HttpRequest) -> Response:
    """POST /jobs/purge: deletes all of the owner's jobs of a status, and says how many these were.

    Their files are deleted by the next sweep of the object store.
    """
    owner = _owner(context, request)
    status, tag = _status(request), read_tag(request.query, context.settings.max_tag_chars) or ""
    before, purged = "", 0
    if status is None:
        raise Problem(400, "purge needs a status: which jobs are to be deleted", parameters=["status"])
    while True:
        page = await context.stream.index.page(owner, before, MOST_IN_A_PAGE, status, tag)
        purged += await context.stream.index.delete([view.id for view in page.jobs], status)
        before = page.next
        if not before or request.gone:
            return JsonResponse({"purged": purged})


def _owner(context: Context, request: HttpRequest) -> str:
    """Whose jobs are meant: the caller's, or those of the `name` that an admin gives. Raises Problem 400, 401, 403."""
    caller, name = context.api_keys.caller(request), request.query.get("name")
    if name is None:
        return caller.owner
    if not caller.is_admin:
        raise Problem(403, "only a key with admin may name whose jobs are meant", parameters=["name"])
    if not NAME.fullmatch(name):
        raise Problem(400, "name must be one that API_KEYS_FILE could have", parameters=["name"])
    return owner_of_name(name)


def _bad_place() -> Problem:
    return Problem(400, "before must be what the page before has in its member next", parameters=["before"])


def _status(request: HttpRequest) -> Status | None:
    text = request.query.get("status")
    if text is None:
        return None
    if text not in set(Status):
        names = ", ".join(Status)
        raise Problem(400, f"status must be one of {names}", parameters=["status"])
    return Status(text)


def _limit(request: HttpRequest) -> int:
    text = request.query.get("limit", str(PAGE))
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= MOST_IN_A_PAGE:
        raise Problem(400, f"limit must be a whole number from 1 to {MOST_IN_A_PAGE}", parameters=["limit"])
    return int(text)
