"""How far the jobs of a batch are."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from gateway.http.errors import Problem
from workers.stream import BATCH_ID_CHARS, GONE, PLACES_AT_ONCE, Status

if TYPE_CHECKING:
    from gateway.context import Context
    from gateway.http.request import HttpRequest
    from workers.stream import BatchView

NO_BATCH = "batch not found"
_ID = re.compile(rf"[0-9a-f]{{{BATCH_ID_CHARS}}}")


async def own_batch(context: Context, request: HttpRequest, owner: str) -> BatchView:
    """The batch that the path names. Raises Problem 404 if there is none, or if it is another owner's."""
    batch_id = request.job_id
    batch = await context.stream.batches.view(batch_id) if _ID.fullmatch(batch_id) else None
    if batch is None or (batch.owner != owner and not context.api_keys.caller(request).is_admin):
        raise Problem(404, NO_BATCH)
    return batch


async def counts(context: Context, batch: BatchView) -> dict[str, int]:
    """How many jobs have each status; `gone` are those whose records are not kept any more."""
    found: Counter[str] = Counter()
    for first in range(0, batch.size, PLACES_AT_ONCE):
        for job in await context.stream.batches.jobs(batch.id, first, batch.size - first):
            found[GONE if job.status is None else job.status.value] += 1
    return {name: found[name] for name in (*(status.value for status in Status), GONE)}


async def first_not_ended(context: Context, batch: BatchView, first: int) -> int:
    """The place of the first job from `first` on that has not ended; the batch's count if there is none.

    Most often that is the very first, so few are looked at before many are.
    """
    at_once = 1
    while first < batch.size:
        for job in await context.stream.batches.jobs(batch.id, first, min(at_once, batch.size - first)):
            if not job.ended:
                return first
            first += 1
        at_once = min(PLACES_AT_ONCE, 4 * at_once)
    return first


async def until_ended(context: Context, request: HttpRequest, batch: BatchView, wait_s: float) -> None:
    """Returns when all jobs have ended once, or after `wait_s` seconds. Raises Problem 503, ClientDisconnect."""
    waiters, loop = context.waiters, asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    with waiters.place(), waiters.batches.listening(batch.id) as ear:
        disconnect = loop.create_task(request.disconnected())
        disconnect.add_done_callback(ear.ring)
        try:
            first = await first_not_ended(context, batch, 0)
            while first < batch.size and not waiters.closing and (left_s := until_s - loop.time()) > 0:
                await ear.wait(left_s)
                ear.taken()
                if disconnect.done():
                    if not request.half_closed:
                        raise ClientDisconnect
                    return
                first = await first_not_ended(context, batch, first)
        finally:
            disconnect.cancel()
