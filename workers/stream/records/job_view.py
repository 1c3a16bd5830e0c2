"""A job as users see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from workers.stream.records.options import NO_OPTIONS, JobOptions

if TYPE_CHECKING:
    from collections.abc import Sequence


class Status(StrEnum):
    """A job's status as users see it."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    PROCESSING = "processing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more by itself."""
        return self in (Status.FINISHED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job's record. Times are the server's, in ms since the epoch. `ahead` is an upper bound, if queued.

    `notes` are the result's (see `Finish`); they come with the result, and are empty if there are none.
    `unsent_bytes` is the size of both if that was too large to be sent. `progress` is what a job that runs has told
    last: {"fraction", "text"}. `due_ms` is when a scheduled job is due.
    """

    id: str
    status: Status
    owner: str
    attempts: int
    queued_ms: int
    started_ms: int | None
    finished_ms: int | None
    error: dict[str, Any] | None
    ahead: int | None
    result: bytes | None
    notes: bytes = b""
    unsent_bytes: int = 0
    progress: dict[str, Any] | None = None
    options: JobOptions = NO_OPTIONS
    due_ms: int | None = None

    @classmethod
    def from_reply(cls, job_id: str, reply: Sequence[Any] | None) -> JobView | None:
        """Reads the reply of `view` for one job; None if there is no such job."""
        if not reply:
            return None
        status, owner, attempts, queued, started, finished, error, ahead, result, notes, progress, *rest = reply
        options, due = rest
        return cls(
            id=job_id,
            status=Status(status.decode()),
            owner=owner.decode(),
            attempts=int(attempts),
            queued_ms=int(queued),
            started_ms=int(started) if started else None,
            finished_ms=int(finished) if finished else None,
            error=orjson.loads(error) if error else None,
            ahead=int(ahead) if ahead != b"" else None,
            result=(result or None) if isinstance(result, bytes) else None,
            notes=notes,
            unsent_bytes=result if isinstance(result, int) else 0,
            progress=orjson.loads(progress) if progress else None,
            options=JobOptions.from_json(options),
            due_ms=int(float(due)) if due else None,
        )

    @classmethod
    def from_answer(cls, message: bytes) -> JobView:
        """Reads the message by which a job's end is sent to the gateway where its push waits (`answer` in jobs.lua)."""
        sizes, _, texts = message.partition(b"\n")
        items, start = [], 0
        for size in map(int, sizes.split()):
            items.append(texts[start : start + size])
            start += size
        job_id, *reply = items
        view = cls.from_reply(job_id.decode(), reply)
        if view is None:
            raise ValueError("an answer without a job")
        return view
