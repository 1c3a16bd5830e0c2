"""The job that a request names, and the document of a job."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, TypeVar

from gateway.documents.job import LARGE_RESULT_BYTES
from gateway.http.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import JobView

T = TypeVar("T")

_ID = re.compile("[A-Za-z0-9_.:-]{1,128}")
NO_JOB = "job not found"
_MOST_SHOWN_CHARS = 100


def check_function(context: Context, function: str) -> None:
    """Raises Problem 404 unless clients may push jobs of this function."""
    if function not in context.functions:
        raise Problem(404, f"this gateway pushes no function {function[:_MOST_SHOWN_CHARS]!r} (PUSH_FUNCTIONS)")


async def own_job(
    context: Context, request: HttpRequest, owner: str, missing: str = NO_JOB, with_result: bool = False
) -> JobView:
    """The job that the path names. Raises Problem 404 if there is none, or if it is another owner's."""
    job_id = request.job_id
    view: JobView | None = None
    if _ID.fullmatch(job_id):
        view = await (context.stream.view_small(job_id) if with_result else context.stream.view(job_id))
    if view is None or (view.owner != owner and not context.api_keys.caller(request).is_admin):
        raise Problem(404, missing)
    return view


async def made(make: Callable[[JobView], T], view: JobView) -> T:
    """The document of a job. One with a large result is made in a thread, as it may take a second."""
    if view.result is None or len(view.result) <= LARGE_RESULT_BYTES:
        return make(view)
    return await asyncio.to_thread(make, view)
