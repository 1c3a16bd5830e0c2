"""A job to push, and what became of a push."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import orjson

from workers.stream.records.options import NO_OPTIONS, JobOptions

DEFAULT_FUNCTION = "predict"
# What a webhook can be told of.
WEBHOOK_EVENTS = ("started", "progress", "output", "finished", "failed", "cancelled")


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


class EncodedJob(NamedTuple):
    """A job as `push` in push.lua takes it; `options` is JSON, or empty without any."""

    id: bytes
    function: bytes
    args: bytes
    owner: bytes
    options: bytes


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
        """What `push` in push.lua takes. Raises UnicodeEncodeError or UnicodeDecodeError for what is no valid UTF-8."""
        return EncodedJob(self.id.encode(), self.function.encode(), self.args, self.owner.encode(), self._options())

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
    return len(job.args) + len(job.options)


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
        """Reads what `push_batch` replies, or `push` of one job, where only `accepted` is left out."""
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
