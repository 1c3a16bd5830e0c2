"""Inputs and results above INLINE_BYTES: in the object store instead of in the stream's server."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.http.errors import unavailable
from workers.objects.errors import ObjectMissing, ObjectTooLarge, StoreUnavailable
from workers.objects.names import job_prefix, new_name
from workers.telemetry.log_job import about
from workers.wire.stored import StoredJson

if TYPE_CHECKING:
    from workers.objects.store import ObjectStore
    from workers.stream import JobView

logger = logging.getLogger(__name__)


class StoredJsons:
    """The inputs and results of one queue's jobs in the store."""

    def __init__(self, store: ObjectStore, queue: str, inline_bytes: int) -> None:
        self._store = store
        self._queue = queue
        self._inline_bytes = inline_bytes

    async def put_args(self, job_id: str, args: bytes, keys: list[str] | None = None) -> bytes:
        """A job's arguments as they go into the stream: with what stands for the input if that is large.

        `keys` gets that of the object, also if this raises. Raises Problem 503.
        """
        if len(args) <= self._inline_bytes:
            return args
        name = new_name("input.json")
        key = job_prefix(self._queue, job_id) + name
        if keys is not None:
            keys.append(key)
        try:
            await self._store.put(key, args[1:-1], "application/json")
        except StoreUnavailable as error:
            raise unavailable(str(error)) from None
        return b"[%b]" % StoredJson.of(job_id, name, len(args) - 2).reference

    async def pushed_args(self, job_id: str, args: bytes, most_bytes: int) -> bytes:
        """A job's arguments as they were pushed; empty if they are gone, or larger than that. Raises Problem 503."""
        stored = StoredJson.read(args[1:-1], job_id)
        if stored is None:
            return args
        if stored.size_bytes > most_bytes:
            return b""
        try:
            value = await self._read(job_id, stored)
        except StoreUnavailable as error:
            raise unavailable(str(error)) from None
        return b"[%b]" % value if value else b""

    def size_bytes(self, view: JobView) -> int:
        """What the job's result and its notes have in the store."""
        return sum(one.size_bytes for one in _of(view) if one)

    async def completed(self, view: JobView) -> JobView:
        """The job with what its result and its notes stand for; what is gone is missing. Raises Problem 503."""
        result, given = _of(view)
        try:
            if result:
                view = replace(view, result=await self._read(view.id, result))
            if given:
                value = await self._read(view.id, given) or b"null"
                view = replace(view, notes=view.notes.replace(given.reference, value, 1))
        except StoreUnavailable as error:
            raise unavailable(str(error)) from None
        return view

    async def _read(self, job_id: str, stored: StoredJson) -> bytes | None:
        try:
            return await self._store.read(job_prefix(self._queue, job_id) + stored.name, stored.size_bytes)
        except (ObjectMissing, ObjectTooLarge) as error:
            extra = about(job_id, queue=self._queue)
            logger.warning("job %s: %s can't be read: %s", job_id, stored.name, error, extra=extra)
            return None


def _of(view: JobView) -> tuple[StoredJson | None, StoredJson | None]:
    if view.result is None:
        return None, None
    return StoredJson.read(view.result, view.id), StoredJson.read_input(view.notes, view.id)
