"""GET /files/{id}/{name}: a file of a job, for the job's owner."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from starlette.responses import Response

from gateway.access import own_job
from gateway.http.errors import Problem
from gateway.http.ranges import is_known, part_of
from workers.objects.errors import ObjectMissing, StoreUnavailable
from workers.objects.names import NAME, job_prefix, shown_name, type_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Receive, Scope, Send

    from gateway.context import Context
    from gateway.http.request import HttpRequest

logger = logging.getLogger(__name__)

NO_FILE = "file not found"
# What a client that reads slowly makes this process hold, at most.
_PIECE_BYTES = 256 * 1024
# A file may be anything: a browser must not run it as a page of this origin.
_HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


async def file(context: Context, request: HttpRequest) -> Response:
    """The bytes, or a part of them; or a redirect to the store, which needs no API key for a while.

    Raises Problem (401, 404, 416, 503).
    """
    view = await own_job(context, request, context.api_keys.owner(request), NO_FILE)
    name, store, settings = request.path_parameter("name"), context.objects, context.settings
    if store is None or not NAME.fullmatch(name):
        raise Problem(404, NO_FILE)
    key = job_prefix(settings.queue_name, view.id) + name
    try:
        found = await store.head(key)
    except ObjectMissing:
        raise Problem(404, NO_FILE) from None
    if settings.presign_s and (url := store.presigned("GET", key, settings.presign_s)):
        return Response(status_code=307, headers={"Location": url, "Cache-Control": "no-store"})
    headers = {
        "ETag": found.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{shown_name(name)}"',
        **_HARMLESS,
    }
    if is_known(request, found.etag):
        return Response(status_code=304, headers=headers)
    part = part_of(request, found.size_bytes, found.etag)
    headers |= {"Content-Type": type_of(name), "Content-Length": str(part.end - part.start)}
    if not part.is_whole:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{found.size_bytes}"
    pieces = store.pieces(key, part.start, part.end, _PIECE_BYTES)
    return FileResponse(200 if part.is_whole else 206, headers, pieces)


class FileResponse(Response):
    """Sends a file as it is read. If the store fails meanwhile the connection is closed before the file's end."""

    def __init__(self, status: int, headers: dict[str, str], pieces: AsyncGenerator[bytes, None]) -> None:
        self.status_code = status
        self.background = None
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._pieces = pieces

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Sends it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            try:
                async with contextlib.aclosing(self._pieces) as pieces:
                    async for piece in pieces:
                        if scope["state"].get("gone"):
                            return
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            except (ObjectMissing, StoreUnavailable) as error:
                logger.warning("%s breaks off: %s", scope["path"], error)
                return  # without the last bytes: the connection is closed
        await send({"type": "http.response.body", "body": b""})
