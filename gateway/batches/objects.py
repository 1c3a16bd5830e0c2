"""What the inputs of a batch have in the object store. It goes there while the rest of the batch still comes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from gateway.files.uploads import names_uploads, taken
from gateway.http.errors import Problem
from workers.objects.errors import StoreUnavailable
from workers.stream import batch_job_id
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly

if TYPE_CHECKING:
    from gateway.context import Context

# Of one batch. Above either, the next input waits.
_INPUTS_AT_ONCE = 8
_BYTES_AT_ONCE = 4 * 1024 * 1024
REFERENCE_BYTES = 150
"""What stands in the stream for an input in the store has about so many."""


class BatchObjects:
    """Stores inputs above INLINE_BYTES, and copies the uploads that inputs name to their jobs.

    `files_bytes` is the size of these uploads. If there is no store it is not open, and nothing may be given to it.
    """

    def __init__(self, context: Context, batch_id: str, owner: str) -> None:
        self._context = context
        self._id = batch_id
        self._owner = owner
        self.is_open = context.stored is not None
        self.inline_bytes = context.settings.inline_bytes if self.is_open else sys.maxsize
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: dict[int, Exception] = {}
        self._held_bytes = self._count = 0
        self._keys: list[str] = []
        self.files_bytes = 0

    async def take(self, args: list[bytes], place: int) -> None:
        """Begins with an input, the last of `args`, which is the job's at this place.

        What stands for it is in `args` after `settled`. Raises Problem (400, 413, 422, 503) for this or an earlier one.
        """
        at, size_bytes = len(args) - 1, len(args[-1])
        while len(self._tasks) >= _INPUTS_AT_ONCE or (self._tasks and self._held_bytes + size_bytes > _BYTES_AT_ONCE):
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        await self._check()
        self._context.staging.hold(size_bytes)
        self._held_bytes += size_bytes
        task = asyncio.get_running_loop().create_task(self._take(args, at, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Returns once all that was begun is in the store. Raises as `take`."""
        await self._idle()
        await self._check()

    async def close(self, are_jobs: bool) -> None:
        """Deletes what was stored, unless the inputs `are_jobs`, or may be.

        If the store is away a sweep does it later.
        """
        await self._idle()
        if self._keys and not are_jobs and self._context.objects is not None:
            with contextlib.suppress(StoreUnavailable):
                await self._context.objects.delete(self._keys)

    async def _idle(self) -> None:
        while self._tasks:  # a cancel would not keep an object from being stored
            await asyncio.wait(self._tasks)

    async def _check(self) -> None:
        if self._errors:
            await self._idle()  # one of those may be wrong, too, and come first
            raise self._errors[min(self._errors)]
        most = self._context.settings.max_batch_jobs
        if self._count > most:
            raise Problem(413, f"the inputs of a batch name at most {most} uploads")

    async def _take(self, args: list[bytes], at: int, place: int) -> None:
        given = args[at]
        try:
            args[at] = await self._stored(given, batch_job_id(self._id, place))
        except Exception as error:  # noqa: BLE001 - whoever brings the next input, or waits for all, is told
            if isinstance(error, Problem) and error.status < 500:
                error.members["index"] = place
            self._errors[place] = error
        finally:
            self._held_bytes -= len(given)
            self._context.staging.release(len(given))

    async def _stored(self, args: bytes, job_id: str) -> bytes:
        context = self._context
        assert context.stored is not None  # noqa: S101
        if names_uploads(args):
            (value,) = loads(args)
            found = await taken(context, self._owner, job_id, value, self._keys)
            context.schemas.check(found.value)
            self._count += found.uploads
            self.files_bytes += found.size_bytes
            args = encode_exactly([found.value])
        return await context.stored.put_args(job_id, args, self._keys)
