"""What goes into the stream and what comes out of it, and how each is read from a reply of the library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import orjson

from workers.stream.options import NO_OPTIONS, JobOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EncodedJob: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]

DEFAULT_FUNCTION = "predict"
# What a webhook can be told of.
WEBHOOK_EVENTS = ("started", "progress", "output", "finished", "failed", "cancelled")


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


class PushLimits(NamedTuple):
    """What one owner may push; 0 is no limit. `burst` jobs may come at once, if `pushes_per_s` is limited.

    `backlog_share` is the part of MAX_BACKLOG that its jobs may fill.
    """

    pushes_per_s: float = 0.0
    burst: int = 0
    outstanding: int = 0
    bytes_per_day: int = 0
    backlog_share: float = 0.0

    def encoded(self) -> dict[str, float]:
        """As `limited` in limits.lua takes them."""
        found: dict[str, float] = {}
        if self.pushes_per_s:
            found = {"rate": self.pushes_per_s, "burst": max(1, self.burst)}
        if self.outstanding:
            found["outstanding"] = self.outstanding
        if self.bytes_per_day:
            found["bytes"] = self.bytes_per_day
        if self.backlog_share:
            found["share"] = self.backlog_share
        return found


NO_LIMITS = PushLimits()


class NewJob(NamedTuple):
    """A job to push. `args` is a JSON array, `kwargs` a JSON object or empty; neither is parsed here.

    An idempotency key counts for `idempotency_s`, but not after the job's record has gone, unless it `outlives_job`.
    A job waits outside the stream for `defer_ms` ms or, by the server's clock, until `due_ms` since the epoch; 0 is
    neither.
    `waits_at` is the name of the gateway to which the job's end is sent, if it is small (`Stream.ended`). It begins
    with `LIBRARY`, as only a worker of the same release sends it.
    `stored_bytes` is what it has in the object store: it counts as pushed where `limits` has bytes a day.
    `webhook` is JSON, {"url", "events"}, or empty: the events are among `WEBHOOK_EVENTS`.
    """

    id: str
    args: bytes
    function: str = DEFAULT_FUNCTION
    kwargs: bytes = b""
    owner: str = ""
    idempotency_key: str = ""
    fingerprint: str = ""
    defer_ms: int = 0
    outlives_job: bool = False
    waits_at: str = ""
    webhook: str = ""
    limits: PushLimits = NO_LIMITS
    due_ms: int = 0
    options: JobOptions = NO_OPTIONS
    stored_bytes: int = 0

    def encoded(self) -> EncodedJob:
        """What `push` in push.lua takes for a job: id, function, args, owner, options.

        Raises UnicodeEncodeError or UnicodeDecodeError for text that is not valid UTF-8.
        """
        return self.id.encode(), self.function.encode(), self.args, self.owner.encode(), self._options()

    def _options(self) -> bytes:
        # The rarely used fields, as JSON; empty if none is used.
        limits = None if self.limits is NO_LIMITS else self.limits.encoded()
        rare = self.kwargs or self.idempotency_key or self.defer_ms or self.waits_at or self.webhook or limits
        if not (rare or self.due_ms or self.options is not NO_OPTIONS):
            return b""
        options: dict[str, Any] = {
            "kwargs": self.kwargs.decode(),
            "idempotency_key": self.idempotency_key,
            "fingerprint": self.fingerprint,
            "outlives_job": self.outlives_job,
            "defer_ms": self.defer_ms,
            "due_ms": self.due_ms,
            "waits": self.waits_at,
            "webhook": self.webhook,
            "limits": limits,
            "stored": self.stored_bytes,
            "options": self.options.encoded(),
            "priority": self.options.priority,
        }
        return orjson.dumps({name: value for name, value in options.items() if value})


def size_bytes(job: EncodedJob) -> int:
    """The size of a job's payload and options."""
    return len(job[2]) + len(job[4])


class Pushed(NamedTuple):
    """What became of a push; `id` is the job's, or that of the job the idempotency key stands for.

    A push that is beyond one of its owner's limits names that `limit`, and after how many ms it may succeed.
    """

    outcome: Literal["accepted", "existing", "conflict", "full", "limited"]
    id: str
    limit: str = ""
    retry_ms: int = 0

    @classmethod
    def from_reply(cls, job_id: bytes, reply: bytes) -> Pushed:
        """Reads the reply of `push` for one job."""
        if reply == b"accepted":
            return cls("accepted", job_id.decode())
        match reply:
            case b"conflict" | b"full":
                return cls(reply.decode(), job_id.decode())  # type: ignore[arg-type]
            case _ if reply.startswith(b"limited "):
                _, limit, retry_ms = reply.decode().split(" ")
                return cls("limited", job_id.decode(), limit, int(retry_ms))
            case _:
                return cls("existing", reply.removeprefix(b"existing ").decode())


class Claimed(NamedTuple):
    """A job that this worker holds a lease on, its attempt already counted."""

    id: str
    entry: str
    function: str
    args: bytes
    kwargs: bytes
    attempt: int
    queued_ms: int
    options: JobOptions = NO_OPTIONS

    @property
    def traceparent(self) -> str:
        """The trace that its push was part of; empty without one."""
        return self.options.traceparent or ""

    @classmethod
    def from_reply(cls, flat: Sequence[bytes]) -> list[Claimed]:
        """Reads the reply of `claim`: eight items a job."""
        return [
            cls(
                flat[i].decode(), flat[i + 1].decode(), flat[i + 2].decode(), flat[i + 3], flat[i + 4],
                int(flat[i + 5]), int(flat[i + 6]), JobOptions.from_json(flat[i + 7]),
            )
            for i in range(0, len(flat), 8)
        ]  # fmt: skip

    @classmethod
    def from_message(cls, message: bytes) -> Claimed:
        """Reads the message by which a push hands a job over (`hand_over` in push.lua), without its leading 'run'."""
        entry, queued_ms, id_bytes, function_bytes, args_bytes, kwargs_bytes, texts = message.split(b" ", 6)
        id_end = int(id_bytes)
        function_end = id_end + int(function_bytes)
        args_end = function_end + int(args_bytes)
        kwargs_end = args_end + int(kwargs_bytes)
        return cls(
            texts[:id_end].decode(), entry.decode(), texts[id_end:function_end].decode(),
            texts[function_end:args_end], texts[args_end:kwargs_end], 1, int(queued_ms),
            JobOptions.from_json(texts[kwargs_end:]),
        )  # fmt: skip


class ClaimCall(NamedTuple):
    """What a worker claims: at most so many jobs, while it runs `running` others. See `Stream.claim`.

    In `Stream.finish_and_claim`: how many more it wants to hold `ahead`, beside those that are `held`; -1: it has held
    none. There -1 for `most` claims nothing.
    """

    most: int
    running: int = 0
    ready_ms: int = 0
    max_attempts: int = 5
    attempts_of: Mapping[str, int] | None = None
    ahead: int = 0
    held: int = -1


class AheadStart(NamedTuple):
    """A job that was held ahead and that its worker has started, at `began_s` of its monotonic clock."""

    id: str
    entry: str
    attempt: int
    began_s: float


class Turn(NamedTuple):
    """The answer to `Stream.finish_and_claim`: what the calls that it stands for return. See there."""

    done: list[bool]
    started: list[bool]
    claimed: list[Claimed]
    held: list[Claimed]


class Finish(NamedTuple):
    """An attempt's outcome: `body` is the result or the error as JSON; `keep_ms` 0 keeps nothing, -1 for ever.

    `notes` is kept beside a result: a JSON object with the pushed `input` and with `warnings`, or empty.
    """

    id: str
    attempt: int
    status: Literal["finished", "failed"]
    body: bytes
    keep_ms: int
    notes: bytes = b""

    @property
    def size_bytes(self) -> int:
        """What it takes on its way to the server, nearly."""
        return len(self.body) + len(self.notes)


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


class Counts(NamedTuple):
    """The queue in numbers. waiting = lag; pending = running + released + ahead; all O(log n) or better to read.

    `ahead` are the jobs that workers hold without running them. `high` and `low` are the waiting jobs of these
    priorities.
    """

    length: int
    waiting: int
    pending: int
    released: int
    deferred: int
    dead: int
    idle_workers: int
    workers: int
    ahead: int = 0
    high: int = 0
    low: int = 0

    @property
    def outstanding(self) -> int:
        """Jobs that have not ended."""
        return self.length + self.deferred


class Demand(NamedTuple):
    """What a scaler has to know, all of one moment: `now_ms` by the server's clock, since the epoch.

    `arrived` counts all jobs since the stream was made. A job that is put back into the stream (a retry, a dead letter)
    counts again; one that was cancelled before a worker had it does not count. `waiting` are the jobs that no worker
    holds. `busy` are the workers that hold some, running or ahead. `decision` is the one last remembered, or empty.
    """

    now_ms: int
    arrived: int
    waiting: int
    running: int
    busy: int
    decision: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed job with its payload."""

    entry: str
    id: str
    function: str
    args: bytes
    kwargs: bytes
    owner: str
    attempts: int
    error: dict[str, Any]

    @classmethod
    def from_reply(cls, entry: bytes, flat: Sequence[bytes]) -> DeadLetter:
        """Reads one entry of the reply of `dead_letters`."""
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(
            entry=entry.decode(),
            id=fields[b"id"].decode(),
            function=fields[b"function"].decode(),
            args=fields[b"args"],
            kwargs=fields[b"kwargs"],
            owner=fields[b"owner"].decode(),
            attempts=int(fields[b"attempts"]),
            error=orjson.loads(fields[b"error"]),
        )


class Registered(NamedTuple):
    """What a worker's heartbeat is told."""

    wants_schema: bool
    """The schema that it names is to be published first (`publish_schema`)."""
    is_idle: bool
    """It is registered as idle, so it will be woken."""
    is_overdue: bool
    """Nobody has swept for long."""
    workers: int
    """How many workers live."""


class WorkerView(NamedTuple):
    """A live worker's registration: `state` is starting, idle, busy or stopping."""

    id: str
    fields: dict[str, str]

    @classmethod
    def from_reply(cls, worker: bytes, flat: Sequence[bytes]) -> WorkerView:
        """Reads one item of the reply of `workers`."""
        texts = [item.decode() for item in flat]
        return cls(worker.decode(), dict(zip(texts[::2], texts[1::2], strict=True)))


# What a worker registers whose model takes any JSON, as the function in schemas.lua knows it.
ANY_SCHEMA = "any"


class SchemaView(NamedTuple):
    """A published schema of a model: how long ago it was first published, and last renewed. `text` is its JSON.

    `text` is empty if it was not asked for, and of the digest `any`, which stands for models that take any JSON.
    """

    digest: str
    since_ms: int
    seen_ms: int
    text: bytes

    @property
    def is_any(self) -> bool:
        """Whether it stands for models that take any JSON."""
        return self.digest == ANY_SCHEMA

    @classmethod
    def from_reply(cls, row: Sequence[bytes]) -> SchemaView:
        """Reads one item of the reply of `schemas`."""
        digest, since_ms, seen_ms, text = row
        return cls(digest.decode(errors="replace"), int(since_ms), int(seen_ms), text)
