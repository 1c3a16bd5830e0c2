"""The job stream: a typed class over the functions of `stream.lua`, which documents every key.

This file and that one are the only places that name Redis keys and commands.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import orjson
from redis.exceptions import ResponseError

from workers.settings import StreamSettings
from workers.stream.batch import Batcher
from workers.stream.connection import connect, is_out_of_memory, is_unavailable
from workers.stream.pipeline import WireRedis
from workers.stream.subscription import Subscription

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from arq.connections import ArqRedis

__all__ = [
    "Claimed", "Counts", "DeadLetter", "Demand", "Finish", "JobView", "NewJob", "Pushed", "Status", "Stream",
    "StreamSettings", "Subscription", "WorkerView", "is_out_of_memory", "is_unavailable",
]  # fmt: skip

DEFAULT_FUNCTION = "predict"
SCALER_MEMORY_S = 7 * 86_400.0
_SOURCE = files("workers.stream").joinpath("lua/stream.lua").read_text(encoding="utf-8")
LIBRARY = f"leadtime_{hashlib.sha256(_SOURCE.encode()).hexdigest()[:12]}"
_Encoded: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]
# A lease is looked at this many times in its length, and counts as expired one look early, so that a
# dead worker's job is claimable within one lease of its death.
_LOOKS = 30


class Status(StrEnum):
    """A job's status as users see it."""

    QUEUED = "queued"
    PROCESSING = "processing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more by itself."""
        return self in (Status.FINISHED, Status.FAILED, Status.CANCELLED)


class NewJob(NamedTuple):
    """A job to push. `args` is a JSON array, `kwargs` a JSON object or empty; neither is parsed here."""

    id: str
    args: bytes
    function: str = DEFAULT_FUNCTION
    kwargs: bytes = b""
    owner: str = ""
    idempotency_key: str = ""
    fingerprint: str = ""
    defer_ms: int = 0

    def encoded(self) -> _Encoded:
        """What `push` in stream.lua takes for a job: id, function, args, owner, options.

        Raises UnicodeEncodeError or UnicodeDecodeError for text that is not valid UTF-8.
        """
        return self.id.encode(), self.function.encode(), self.args, self.owner.encode(), self._options()

    def _options(self) -> bytes:
        # The rarely used fields, as JSON; empty if none is used.
        if not (self.kwargs or self.idempotency_key or self.defer_ms):
            return b""
        options: dict[str, Any] = {}
        if self.kwargs:
            options["kwargs"] = self.kwargs.decode()
        if self.idempotency_key:
            options["idempotency_key"] = self.idempotency_key
            options["fingerprint"] = self.fingerprint
        if self.defer_ms:
            options["defer_ms"] = self.defer_ms
        return orjson.dumps(options)


class Pushed(NamedTuple):
    """What became of a push; `id` is the job's, or that of the job the idempotency key stands for."""

    outcome: Literal["accepted", "existing", "conflict", "full"]
    id: str


class Claimed(NamedTuple):
    """A job that this worker holds a lease on, its attempt already counted."""

    id: str
    entry: str
    function: str
    args: bytes
    kwargs: bytes
    attempt: int
    queued_ms: int


class Finish(NamedTuple):
    """An attempt's outcome: `body` is the result or the error as JSON; `keep_ms` 0 keeps nothing, -1 for ever."""

    id: str
    attempt: int
    status: Literal["finished", "failed"]
    body: bytes
    keep_ms: int


@dataclass(frozen=True, slots=True)
class JobView:
    """A job's record. Times are the server's, in ms since the epoch. `ahead` is an upper bound, if queued."""

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


class Counts(NamedTuple):
    """The queue in numbers. waiting = lag; pending = running + released; all O(log n) or better to read."""

    length: int
    waiting: int
    pending: int
    released: int
    deferred: int
    dead: int
    idle_workers: int
    workers: int

    @property
    def outstanding(self) -> int:
        """Jobs that have not ended."""
        return self.length + self.deferred


class Demand(NamedTuple):
    """What a scaler has to know, all of one moment: `now_ms` by the server's clock, since the epoch.

    `arrived` counts all jobs since the stream was made: each attempt that is put back into the stream (a retry, a
    dead letter) anew, none that was cancelled before a worker had it. `waiting` are those that no worker holds.
    """

    now_ms: int
    arrived: int
    waiting: int
    running: int
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


class WorkerView(NamedTuple):
    """A live worker's registration: `state` is starting, idle, busy or stopping."""

    id: str
    fields: dict[str, str]


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _optional_ms(value: bytes) -> int | None:
    return int(value) if value else None


class Stream:
    """One queue's stream on one server. Every method is one round trip, and atomic.

    Raises the redis client's errors; `is_unavailable` and `is_out_of_memory` tell which kind. Every
    method but `claim` may be repeated after an error: what was done before is recognized, by the job's
    record (or its idempotency key) for as long as that is kept.
    """

    def __init__(self, settings: StreamSettings, redis: ArqRedis | None = None) -> None:
        self.settings = settings
        self.redis = redis or connect(settings.redis_url, settings.redis_timeout_s, WireRedis)
        self.prefix = "{" + settings.queue_name + "}"
        self._pushes: Batcher[_Encoded, Pushed] = Batcher(self._push, size_of=_size_of)
        self._views: Batcher[tuple[str, bool], JobView | None] = Batcher(self.view_many)

    async def _call(self, function: str, *args: str | bytes | float) -> Any:
        command = ("FCALL", f"{LIBRARY}_{function}", 1, self.prefix, *args)
        try:
            return await self.redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._load()
        return await self.redis.execute_command(*command)  # type: ignore[no-untyped-call]

    async def _load(self) -> None:
        try:
            await self.redis.function_load(_SOURCE.replace("@LIBRARY@", LIBRARY))  # type: ignore[misc]
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    async def open(self) -> None:
        """Makes sure that the functions, the stream and its consumer group exist (XGROUP CREATE)."""
        await self._call("open")

    async def ping(self) -> None:
        """Reads the queue's counters: proves that the stream can be reached."""
        await self.counts()

    async def close(self) -> None:
        """Sends what waits in batches, then closes the connections."""
        await self._pushes.close()
        await self._views.close()
        await self.redis.aclose(close_connection_pool=True)

    # pushing

    def push(self, job: NewJob) -> asyncio.Future[Pushed]:
        """Pushes a job (XADD), sharing the round trip with others; done once the server has accepted it."""
        return self._pushes.submit(job.encoded())

    async def push_many(self, jobs: Sequence[NewJob]) -> list[Pushed]:
        """Pushes jobs in one atomic step; an id or idempotency key that is known changes nothing."""
        return await self._push([job.encoded() for job in jobs])

    async def _push(self, jobs: Sequence[_Encoded]) -> list[Pushed]:
        settings = self.settings
        args: list[str | bytes | int] = [settings.max_backlog, _ms(settings.idempotency_s)]
        for job in jobs:
            args += job
        replies = await self._call("push", *args)
        return [_pushed(job[0], reply) for job, reply in zip(jobs, replies, strict=True)]

    # what a worker does

    async def claim(
        self,
        worker: str,
        count: int,
        running: int = 0,
        ready_ms: int = 0,
        max_attempts: int = 5,
        attempts_of: Mapping[str, int] | None = None,
    ) -> list[Claimed]:
        """Claims up to `count` jobs (XCLAIM of released ones, then XREADGROUP), counting their attempts.

        A worker that gets fewer is woken over its channel when there is more; one that asks for 0 is not
        woken any more. Payloads of more than 8 MiB come in several claims. After an error call
        `release_unknown`: the reply may have been lost on the way.
        """
        overrides = [item for pair in (attempts_of or {}).items() for item in pair]
        keep_ms = _ms(self.settings.keep_result_s)
        flat = await self._call("claim", worker, count, running, ready_ms, max_attempts, keep_ms, *overrides)
        return [
            Claimed(
                flat[i].decode(), flat[i + 1].decode(), flat[i + 2].decode(), flat[i + 3], flat[i + 4],
                int(flat[i + 5]), int(flat[i + 6]),
            )
            for i in range(0, len(flat), 7)
        ]  # fmt: skip

    async def finish(self, worker: str, finishes: Sequence[Finish]) -> list[bool]:
        """Acknowledges, deletes and publishes (XACK, XDEL, HSET) each job that the worker still holds.

        False: the lease was lost or the job has ended, and nothing was changed.
        """
        args: list[str | bytes | int] = [worker]
        for finish in finishes:
            args += (finish.id, finish.attempt, finish.status, finish.keep_ms, finish.body)
        return [reply == b"done" for reply in await self._call("finish", *args)]

    async def defer(self, worker: str, job_id: str, attempt: int, defer_ms: int) -> bool:
        """Lets a held job be claimed again after `defer_ms` ms (0: at once, before others). False: not held."""
        keep_ms = _ms(self.settings.keep_result_s)
        return bool(await self._call("defer", worker, job_id, attempt, defer_ms, keep_ms))

    async def release(self, worker: str, held: Iterable[tuple[str, int]]) -> int:
        """Hands held jobs (id, attempt) back for immediate claim, their attempts uncounted. Returns how many."""
        return int(await self._call("release", worker, *_flat(held)))

    async def release_unknown(self, worker: str, held: Iterable[tuple[str, int]]) -> list[str]:
        """Hands back all that the server says this worker holds, other than `held`. Returns the entries.

        What was handed over to the worker in a message may be among them, whether that has arrived or not.
        """
        return [entry.decode() for entry in await self._call("release_unknown", worker, *_flat(held))]

    async def renew(self, worker: str, held: Iterable[tuple[str, int]]) -> list[str]:
        """Renews the leases of held jobs (XCLAIM JUSTID). Returns the ids that are not held any more."""
        return [job_id.decode() for job_id in await self._call("renew", worker, *_flat(held))]

    async def register(self, worker: str, expiry_s: float, fields: Mapping[str, str | int]) -> None:
        """Writes fields of a worker's registration, which expires unless this is repeated."""
        flat = [item for pair in fields.items() for item in pair]
        await self._call("register", worker, _ms(expiry_s), *flat)

    async def leave(self, worker: str) -> None:
        """Takes a worker out of the group (XGROUP DELCONSUMER), handing back what it holds."""
        await self._call("leave", worker)

    @property
    def health_key(self) -> str:
        """The key of the queue's health line."""
        return f"{self.prefix}:health-check"

    async def write_health(self, expiry_s: float, line: str, key: str | None = None) -> None:
        """Writes arq's health line (SET PX), under `key` or the queue's own.

        The queue's own is written even if the server is out of memory.
        """
        if key is None:
            await self._call("health_check", _ms(expiry_s), line)
        else:
            await self.redis.set(key, line, px=_ms(expiry_s))

    async def delete_health(self, key: str | None = None) -> None:
        """Deletes arq's health line (DEL)."""
        await self.redis.delete(key or self.health_key)

    # what time brings about

    @property
    def sweep_interval_s(self) -> float:
        """How often `sweep` has to be called by somebody, in seconds."""
        return min(1.0, self.settings.lease_s / _LOOKS)

    async def sweep(self) -> float:
        """Promotes due jobs, releases expired leases (XAUTOCLAIM), wakes workers. Returns seconds to the next call."""
        interval_s, settings = self.sweep_interval_s, self.settings
        expired_ms = _ms(settings.lease_s - interval_s)
        # Half: of callers that are a little out of step, each interval's first must not find the mark of the last.
        due_ms = await self._call(
            "sweep", _ms(interval_s / 2), expired_ms, _ms(settings.dead_letter_age_s), settings.max_dead_letters
        )
        return interval_s if due_ms < 0 else min(interval_s, max(0.001, due_ms / 1000))

    # what users ask for

    async def view(self, job_id: str, with_result: bool = False) -> JobView | None:
        """A job's record, sharing the round trip with others; None if there is none (any more)."""
        return await self._views.submit((job_id, with_result))

    async def view_many(self, wanted: Sequence[tuple[str, bool]]) -> list[JobView | None]:
        """Records of several jobs, each with its result or without."""
        views: list[JobView | None] = []
        while rest := wanted[len(views) :]:
            args = [item for job_id, with_result in rest for item in (job_id, "1" if with_result else "0")]
            # Fewer than asked for, where results are large.
            replies = await self._call("view", *args)
            views += [_view(job_id, reply) for (job_id, _), reply in zip(rest, replies, strict=False)]
        return views

    async def cancel(self, job_id: str) -> str:
        """Ends a job that has not ended. Returns 'cancelled' | 'missing' | 'finished' | 'failed'.

        'cancelled' also for one that was cancelled before: ask `view` first where that matters.
        """
        return str((await self._call("cancel", job_id, _ms(self.settings.keep_result_s))).decode())

    async def retry(self, job_id: str) -> str:
        """Runs a failed job again under its id, attempts anew. Returns 'retried' | 'missing' | 'gone' | its status.

        'gone': its dead letter was trimmed. Not refused by a full backlog: the job was accepted before.
        """
        return str((await self._call("retry", job_id)).decode())

    async def dead_letters(self, count: int = 100, after: str = "") -> list[DeadLetter]:
        """Failed jobs with their payloads, oldest first (XRANGE), behind the entry `after`."""
        rows = await self._call("dead_letters", f"({after}" if after else "-", count)
        return [_dead_letter(entry, fields) for entry, fields in rows]

    async def requeue(self, entry: str) -> bool:
        """Puts a dead letter back into the stream. False: there is none, or its job lives."""
        return bool(await self._call("requeue", entry))

    async def counts(self) -> Counts:
        """The queue in numbers (XLEN, XINFO GROUPS, XPENDING, ZCARD)."""
        return Counts(*(int(n) for n in await self._call("counts")))

    async def demand(self) -> Demand:
        """What a scaler has to know (TIME, XINFO GROUPS, XPENDING), and the decision last remembered, or empty."""
        now_ms, arrived, *rest = await self._call("demand")
        if arrived < 0:
            await self.open()
            now_ms, arrived, *rest = await self._call("demand")
        waiting, running, decision = rest
        return Demand(int(now_ms), int(arrived), int(waiting), int(running), decision)

    async def remember(self, **fields: bytes) -> None:
        """Keeps what a scaler needs after a restart, `decision` or `state`, for a week."""
        flat = [item for pair in fields.items() for item in pair]
        await self._call("remember", _ms(SCALER_MEMORY_S), *flat)

    async def remembered(self) -> bytes:
        """The `state` kept by `remember`, or empty."""
        return bytes(await self._call("remembered"))

    async def workers(self) -> list[WorkerView]:
        """All live workers' registrations."""
        return [
            WorkerView(
                worker.decode(),
                {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)},
            )
            for worker, flat in await self._call("workers")
        ]

    # subscriptions

    def ended(self, on_ended: Callable[[str], None], on_subscribed: Callable[[], None]) -> Subscription:
        """A subscription to the ids of jobs that end; `on_subscribed`: any may have been missed before."""

        def on_message(payload: bytes) -> None:
            for job_id in payload.decode().split(" "):
                on_ended(job_id)

        return Subscription(self.settings.redis_url, f"{self.prefix}:ended", on_message, on_subscribed)

    def unserved(self, on_jobs: Callable[[], None]) -> Subscription:
        """A scaler's subscription: a job waits, and no worker was free to be woken for it."""
        return Subscription(self.settings.redis_url, f"{self.prefix}:wake:", lambda _: on_jobs(), on_jobs)

    def wakeups(
        self,
        worker: str,
        on_work: Callable[[], None],
        on_cancel: Callable[[str], None],
        on_job: Callable[[Claimed], None] | None = None,
        on_subscribed: Callable[[], None] | None = None,
    ) -> Subscription:
        """A worker's subscription to its own channel: there is work, or a job is to be stopped.

        `on_job` gets jobs that a push has claimed for the worker, while it was idle and its registration's field
        `takes` was `LIBRARY`. One that was missed is held all the same: call `release_unknown` in `on_subscribed`
        (by default `on_work`).
        """

        def on_message(payload: bytes) -> None:
            command, _, rest = payload.partition(b" ")
            if command == b"run" and on_job:
                on_job(_handed_over(rest))
            elif command == b"cancel":
                on_cancel(rest.decode())
            else:
                on_work()

        channel = f"{self.prefix}:wake:{worker}"
        return Subscription(self.settings.redis_url, channel, on_message, on_subscribed or on_work)


def _flat(held: Iterable[tuple[str, int]]) -> list[str | int]:
    return [item for pair in held for item in pair]


def _size_of(job: _Encoded) -> int:
    return len(job[2]) + len(job[4])


def _pushed(job_id: bytes, reply: bytes) -> Pushed:
    match reply:
        case b"accepted" | b"conflict" | b"full":
            return Pushed(reply.decode(), job_id.decode())  # type: ignore[arg-type]
        case _:
            return Pushed("existing", reply.removeprefix(b"existing ").decode())


def _handed_over(message: bytes) -> Claimed:
    entry, queued_ms, id_bytes, function_bytes, args_bytes, texts = message.split(b" ", 5)
    id_end = int(id_bytes)
    function_end = id_end + int(function_bytes)
    args_end = function_end + int(args_bytes)
    return Claimed(
        texts[:id_end].decode(), entry.decode(), texts[id_end:function_end].decode(),
        texts[function_end:args_end], texts[args_end:], 1, int(queued_ms),
    )  # fmt: skip


def _view(job_id: str, reply: list[Any] | None) -> JobView | None:
    if not reply:
        return None
    status, owner, attempts, queued, started, finished, error, ahead, result = reply
    return JobView(
        id=job_id,
        status=Status(status.decode()),
        owner=owner.decode(),
        attempts=int(attempts),
        queued_ms=int(queued),
        started_ms=_optional_ms(started),
        finished_ms=_optional_ms(finished),
        error=orjson.loads(error) if error else None,
        ahead=int(ahead) if ahead != b"" else None,
        result=result or None,
    )


def _dead_letter(entry: bytes, flat: list[bytes]) -> DeadLetter:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return DeadLetter(
        entry=entry.decode(),
        id=fields[b"id"].decode(),
        function=fields[b"function"].decode(),
        args=fields[b"args"],
        kwargs=fields[b"kwargs"],
        owner=fields[b"owner"].decode(),
        attempts=int(fields[b"attempts"]),
        error=orjson.loads(fields[b"error"]),
    )
