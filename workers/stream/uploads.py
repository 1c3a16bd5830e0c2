"""How much an owner may upload: a typed class over the function of `lua/pushing/uploads.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[..., Awaitable[Any]]


class UploadRefusal(NamedTuple):
    """Which limit an upload is beyond, `uploads_per_hour` or `upload_bytes_per_hour`, and when to try again."""

    limit: str
    retry_ms: int


class UploadLimits:
    """What each owner may upload within an hour, and at once: so many files, and so many bytes.

    `call` calls a function of the library. Raises what `Stream` raises.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def count(
        self, owner: str, uploads: int, size_bytes: int, most_uploads: int, most_bytes: int
    ) -> UploadRefusal | None:
        """Counts uploads (HMGET, HSET), unless they are too many. Negative numbers give back what did not come."""
        limit, *rest = await self._call("count_upload", owner, uploads, size_bytes, most_uploads, most_bytes)
        return UploadRefusal(limit.decode(), int(rest[0])) if limit else None
