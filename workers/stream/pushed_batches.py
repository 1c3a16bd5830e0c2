"""Jobs that are pushed together, all of them or none: a typed class over the functions of `lua/pushing/batches.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from workers.stream.link.pipeline import Lane
from workers.stream.records.job_view import Status
from workers.stream.records.new_job import DEFAULT_FUNCTION, NO_LIMITS, Pushed, PushLimits
from workers.stream.records.options import NO_OPTIONS, JobOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workers.settings import StreamSettings

    Call = Callable[..., Awaitable[Any]]

BATCH_ID_CHARS = 24
"""A batch's id has so many hexadecimal digits, and so do the ids of its jobs begin."""
PLACES_AT_ONCE = 1000
GONE = "gone"
"""The status of a job whose record is not kept any more."""
# More inputs than this go in several calls.
_INPUTS_AT_ONCE = 1000


def batch_job_id(batch_id: str, place: int) -> str:
    """The id of the job at a place, counted from 0."""
    return f"{batch_id}{place:08x}"


class NewBatch(NamedTuple):
    """So many jobs (`size`) to push together, with inputs of `size_bytes` in all.

    The other fields but `id` are those of `NewJob`, for each of them.
    """

    id: str
    size: int
    function: str = DEFAULT_FUNCTION
    owner: str = ""
    idempotency_key: str = ""
    fingerprint: str = ""
    defer_ms: int = 0
    due_ms: int = 0
    options: JobOptions = NO_OPTIONS
    webhook: str = ""
    limits: PushLimits = NO_LIMITS
    size_bytes: int = 0

    def encoded_options(self) -> bytes:
        """What `push_batch` takes as options; empty if there are none."""
        more: dict[str, Any] = {
            "idempotency_key": self.idempotency_key,
            "fingerprint": self.fingerprint,
            "defer_ms": self.defer_ms,
            "due_ms": self.due_ms,
            "options": self.options.encoded(),
            "webhook": self.webhook,
            "limits": self.limits.encoded(),
            "bytes": self.size_bytes,
            "priority": self.options.priority,
        }
        given = {name: value for name, value in more.items() if value}
        return orjson.dumps(given) if given.keys() - {"bytes"} else b""


class BatchView(NamedTuple):
    """A batch of `size` jobs. `queued_ms` is the server's time of the push."""

    id: str
    owner: str
    size: int
    queued_ms: int


class BatchJob(NamedTuple):
    """A job of a batch; the status is None if its record has gone, and `finished_ms` 0 until it has ended."""

    status: Status | None
    finished_ms: int

    @property
    def ended(self) -> bool:
        """Whether it will not change any more by itself."""
        return self.status is None or self.status.ended


class PushedBatches:
    """The batches of one queue. `call` calls a function of the library, `push` one that must be confirmed as a push is.

    Raises what `Stream` raises.
    """

    def __init__(self, settings: StreamSettings, call: Call, push: Call) -> None:
        self._settings = settings
        self._call = call
        self._push = push

    async def stage(self, batch_id: str, args: Sequence[bytes]) -> None:
        """Keeps inputs (`NewJob.args`) of a batch that is still being received (RPUSH). They go after 30 s."""
        for at in range(0, len(args), _INPUTS_AT_ONCE):
            await self._call("stage", batch_id, *args[at : at + _INPUTS_AT_ONCE], lane=Lane.UPLOADS)

    async def unstage(self, batch_id: str) -> None:
        """Forgets them."""
        await self._call("unstage", batch_id)

    async def push(self, new: NewBatch, args: Sequence[bytes] = ()) -> Pushed | None:
        """Pushes all jobs in one atomic step: those with these inputs or, without any, with the staged ones.

        None: the staged inputs are not there any more. A batch whose id or idempotency key is known is `existing`.
        """
        settings = self._settings
        reply = await self._push(
            "push_batch", new.id, settings.max_backlog, max(1, round(settings.idempotency_s * 1000)),
            int(settings.fair_turns), new.function, new.owner, new.encoded_options(), new.size, *args,
        )  # fmt: skip
        return None if reply == b"lost" else Pushed.from_reply(new.id.encode(), reply)

    async def view(self, batch_id: str) -> BatchView | None:
        """A batch; None if there is none (any more)."""
        reply = await self._call("batch", batch_id)
        return BatchView(batch_id, reply[0].decode(), int(reply[1]), int(reply[2])) if reply else None

    async def jobs(self, batch_id: str, first: int, count: int) -> list[BatchJob]:
        """The jobs from the place `first` on, at most PLACES_AT_ONCE."""
        flat = await self._call("batch_jobs", batch_id, first, min(count, PLACES_AT_ONCE))
        return [
            BatchJob(None if status == b"gone" else Status(status.decode()), int(finished or 0))
            for status, finished in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def cancel(self, batch: BatchView) -> int:
        """Cancels the jobs that have not ended, those first that come last. Returns how many."""
        keep_ms = max(1, round(self._settings.keep_result_s * 1000))
        cancelled = 0
        for first in reversed(range(0, batch.size, _CANCELS_AT_ONCE)):
            count = min(_CANCELS_AT_ONCE, batch.size - first)
            cancelled += await self._call("cancel_batch", batch.id, first, count, keep_ms)
        return cancelled


# Each costs the server some ten commands.
_CANCELS_AT_ONCE = 250
