"""Jobs in the stream, as arq's `Job` and `JobResult` show them."""

from __future__ import annotations

import asyncio
import math
import time
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from arq.jobs import Job, JobResult, JobStatus, ResultNotFound

from workers.stream import Status
from workers.wire.decode import loads

if TYPE_CHECKING:
    from arq.connections import ArqRedis
    from arq.jobs import JobDef

    from workers.stream import Claimed, JobView, Stream


class QueuesClient(Protocol):
    """What a `StreamJob` needs of its client; `workers.arq.client.JobClient` has it."""

    def stream_of(self, queue_name: str | None) -> Stream:
        """The stream of a queue; of the client's own for None."""


class JobFailed(RuntimeError):  # noqa: N818
    """The job of a `StreamJob` failed; the message is its error's type and message."""


class StreamJob(Job):
    """A job in the stream, with the methods of arq's `Job` except `info` and `result_info`."""

    __slots__ = ("_stream",)

    def __init__(self, job_id: str, redis: QueuesClient, _queue_name: str | None = None) -> None:
        self._stream = redis.stream_of(_queue_name)
        super().__init__(job_id, cast("ArqRedis", redis), self._stream.settings.queue_name)

    async def view(self) -> JobView | None:
        """Its record."""
        return await self._stream.view(self.job_id, with_result=True)

    async def status(self) -> JobStatus:
        """arq's status; a cancelled job is `complete`, as in arq."""
        view = await self._stream.view(self.job_id)
        match view and view.status:
            case None:
                return JobStatus.not_found
            case Status.SCHEDULED:
                return JobStatus.deferred
            case Status.QUEUED:
                return JobStatus.deferred if await self._stream.is_deferred(self.job_id) else JobStatus.queued
            case Status.PROCESSING:
                return JobStatus.in_progress
            case _:
                return JobStatus.complete

    async def result(
        self, timeout: float | None = None, *, poll_delay: float = 0.5, pole_delay: float | None = None
    ) -> Any:
        """Waits for the end and returns the result; with a `timeout` of 0 it looks once.

        Raises JobFailed, CancelledError (of the job), ResultNotFound, or TimeoutError after `timeout` seconds.
        """
        if pole_delay is not None:
            text = '"pole_delay" is deprecated, use the correct spelling "poll_delay" instead'
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            poll_delay = pole_delay
        began_s = time.monotonic()
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
            left_s = math.inf if timeout is None else began_s + timeout - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            await asyncio.sleep(min(poll_delay, left_s))

    async def abort(self, *, timeout: float | None = None, poll_delay: float = 0.5) -> bool:
        """Cancels the job, whether it runs or not. True if it had not ended."""
        view = await self._stream.view(self.job_id)
        if view is None or view.status.ended:
            return False
        return await self._stream.cancel(self.job_id) == "cancelled"

    async def info(self) -> JobDef | None:
        """Not supported: use `view`."""
        raise NotImplementedError("info() is not supported: view() has the job's record")

    async def result_info(self) -> JobResult | None:
        """Not supported: use `view`."""
        raise NotImplementedError("result_info() is not supported: view() has the job's record")


def failed_result(queue_name: str, job: Claimed, error: BaseException) -> JobResult:
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
        result=error,
        start_time=now,
        finish_time=now,
        queue_name=queue_name,
    )
