"""Bodies that go into the object store: how many at a time, and how slowly they may come."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.http.errors import Problem, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.http.request import HttpRequest

# Each upload holds up to two parts of 5 MiB.
UPLOADS_AT_ONCE = 10
_PATIENCE_S = 10.0
_PACE_BYTES = 1024 * 1024


@contextlib.asynccontextmanager
async def place(places: asyncio.Semaphore) -> AsyncIterator[None]:
    """One of the places for uploads. Raises Problem 503 if none becomes free in time."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await places.acquire()
    except TimeoutError:
        raise unavailable("too many files are uploaded at the same time") from None
    try:
        yield
    finally:
        places.release()


async def paced(request: HttpRequest, timeout_s: float) -> AsyncIterator[bytes]:
    """The body, whose client has so long for each MiB. Raises Problem 408 and ClientDisconnect."""
    loop, size_bytes = asyncio.get_running_loop(), 0
    pieces, until_s = request.body(), loop.time() + timeout_s
    while True:
        try:
            # Not around the loop: each piece may be asked for by another task.
            async with asyncio.timeout_at(until_s):
                piece = await anext(pieces, None)
        except TimeoutError:
            detail = f"a MiB of the body took longer than {timeout_s:g} s"
            raise Problem(408, detail, {"Connection": "close"}) from None
        if piece is None:
            return
        size_bytes += len(piece)
        if size_bytes >= _PACE_BYTES:
            size_bytes, until_s = 0, loop.time() + timeout_s
        yield piece
