"""The `ctx["redis"]` of a job: arq's client, whose jobs go to the stream."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from arq.jobs import Job, JobResult, JobStatus, ResultNotFound

from workers.stream import NewJob, PipelinedRedis, Status, Stream, connect
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from datetime import timedelta

    from arq.jobs import JobDef

    from workers.settings import StreamSettings
    from workers.stream import Claimed, JobView

_STATUS = {Status.QUEUED: JobStatus.queued, Status.PROCESSING: JobStatus.in_progress}


class JobFailed(RuntimeError):  # noqa: N818
    """The job of a `StreamJob` failed; the message is its error's type and message."""


class JobClient(PipelinedRedis):
    """A redis client whose `enqueue_job` pushes to the stream. Arguments are JSON; nothing is pickled."""

    stream: Stream

    async def enqueue_job(
        self,
        function: str,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: int | float | timedelta | None = None,
        _expires: int | float | timedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> StreamJob | None:
        """Pushes a job; None if there is one with this id.

        Raises TypeError for arguments that are no JSON, ValueError for another queue and for what the stream
        does not know (`_expires`, `_job_try`), RuntimeError if the backlog is full.
        """
        if _queue_name not in (None, self.stream.settings.queue_name) or _expires is not None or _job_try is not None:
            raise ValueError("_queue_name, _expires and _job_try are not supported")
        if _defer_until is not None and _defer_by is not None:
            raise RuntimeError("use either 'defer_until' or 'defer_by' or neither, not both")
        new = NewJob(
            _job_id or uuid.uuid4().hex,
            _json(args),
            function=function,
            kwargs=_json(kwargs) if kwargs else b"",
            defer_ms=_defer_ms(_defer_until, _defer_by),
        )
        pushed = await self.stream.push(new)
        if pushed.outcome == "full":
            raise RuntimeError(f"the backlog of {self.stream.settings.max_backlog} jobs is full")
        return StreamJob(pushed.id, self) if pushed.outcome == "accepted" else None


class StreamJob(Job):
    """A job in the stream, with the methods of arq's `Job` except `info` and `result_info`."""

    __slots__ = ("_stream",)

    def __init__(self, job_id: str, client: JobClient) -> None:
        super().__init__(job_id, client, client.stream.settings.queue_name)
        self._stream = client.stream

    async def view(self) -> JobView | None:
        """Its record."""
        return await self._stream.view(self.job_id, with_result=True)

    async def status(self) -> JobStatus:
        """arq's status; a deferred job is `queued`."""
        view = await self.view()
        return JobStatus.not_found if view is None else _STATUS.get(view.status, JobStatus.complete)

    async def result(
        self, timeout: float | None = None, *, poll_delay: float = 0.5, pole_delay: float | None = None
    ) -> Any:
        """Waits for the end and returns the result.

        Raises JobFailed, CancelledError (of the job), ResultNotFound, or TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while True:
                view = await self.view()
                if view is None:
                    raise ResultNotFound("there is no such job, or its result was not kept")
                match view.status:
                    case Status.FINISHED:
                        if view.result is None:
                            raise ResultNotFound("the result was given up before its time (RESULTS_MEMORY_BYTES)")
                        return loads(view.result)
                    case Status.FAILED:
                        error = view.error or {}
                        raise JobFailed(f"{error.get('type')}: {error.get('message')}")
                    case Status.CANCELLED:
                        raise asyncio.CancelledError
                await asyncio.sleep(pole_delay or poll_delay)

    async def abort(self, *, timeout: float | None = None, poll_delay: float = 0.5) -> bool:
        """Cancels the job, whether it runs or not. True if it had not ended."""
        view = await self.view()
        if view is None or view.status.ended:
            return False
        return await self._stream.cancel(self.job_id) == "cancelled"

    async def info(self) -> JobDef | None:
        """Not supported: use `view`."""
        raise NotImplementedError("use view()")

    async def result_info(self) -> JobResult | None:
        """Not supported: use `view`."""
        raise NotImplementedError("use view()")


def _json(arguments: Any) -> bytes:
    try:
        return encode_exactly(arguments)
    except NotJson as error:
        raise TypeError(f"the arguments can't be written as JSON: {error}") from None


def _defer_ms(until: datetime | None, by: int | float | timedelta | None) -> int:
    if until is not None:
        until = until if until.tzinfo else until.replace(tzinfo=UTC)  # as arq reads it
        return max(0, round((until.timestamp() - time.time()) * 1000))
    if by is None:
        return 0
    seconds = by if isinstance(by, int | float) else by.total_seconds()
    return max(0, round(seconds * 1000))


def connect_client(settings: StreamSettings) -> JobClient:
    """A client with a stream of its own; nothing is sent yet."""
    client = connect(settings.redis_url, settings.redis_timeout_s, JobClient)
    client.stream = Stream(settings, client)
    return client


def failed_result(queue_name: str, job: Claimed, error_type: str, message: str) -> JobResult:
    """arq's account of a failed job."""
    now = datetime.now(UTC)
    return JobResult(
        function=job.function,
        args=tuple(loads(job.args)),
        kwargs=loads(job.kwargs) if job.kwargs else {},
        job_try=job.attempt,
        enqueue_time=datetime.fromtimestamp(job.queued_ms / 1000, UTC),
        score=job.queued_ms,
        job_id=job.id,
        success=False,
        result=JobFailed(f"{error_type}: {message}"),
        start_time=now,
        finish_time=now,
        queue_name=queue_name,
    )
