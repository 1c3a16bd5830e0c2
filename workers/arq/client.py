"""The `ctx["redis"]` of a job, and what any program enqueues with: arq's client, whose jobs go to the stream."""

from __future__ import annotations

import logging
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from arq.constants import (
    abort_jobs_ss,
    default_queue_name,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)
from arq.jobs import SerializationError
from redis.asyncio.client import Pipeline

from workers.arq.arguments import changed
from workers.arq.job import StreamJob
from workers.stream import JobOptions, NewJob, PipelinedRedis, Stream, connect, is_unavailable
from workers.telemetry.tracing import current_traceparent
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from datetime import timedelta

    from workers.settings import StreamSettings

logger = logging.getLogger(__name__)

# The live workers' functions are read again when they are older than this, or than the first for one not among them.
_UNKNOWN_S, _KNOWN_S = 1.0, 30.0
_ARQS_PREFIXES = (job_key_prefix, in_progress_key_prefix, result_key_prefix, retry_key_prefix)
_ARQS_KEYS = (default_queue_name, abort_jobs_ss)
_NO_EXPIRY = "_expires is not supported: a job waits until it is run or cancelled, as StreamJob.abort() does"
_NO_TRY = "_job_try is not supported: attempts count from 1; hand a number of your own to the function"


class JobClient(PipelinedRedis):
    """A redis client whose `enqueue_job` pushes to the stream. Arguments are JSON; nothing is pickled.

    Whatever would read or write a key of arq's own queue raises NotImplementedError: there are no jobs.
    """

    stream: Stream

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._streams: dict[str, Stream] = {}
        self._served: set[str] | None = None
        self._asked_s = -_KNOWN_S

    def stream_of(self, queue_name: str | None) -> Stream:
        """The stream of a queue on this client's server, None for the client's own. Raises BadArgument."""
        if queue_name in (None, self.stream.settings.queue_name):
            return self.stream
        if queue_name not in self._streams:
            on_reopen = self.on_reopen  # the client's own stream's, which has subscriptions
            self._streams[queue_name] = Stream(changed(self.stream.settings, queue_name=queue_name), self)
            self.on_reopen = on_reopen
        return self._streams[queue_name]

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

        Raises arq's SerializationError for arguments that are no JSON, ValueError for what the stream does not know
        (`_expires`, `_job_try`), RuntimeError if the backlog is full. Logs a warning if workers live and none of them
        has the function: the job waits for one that does.
        """
        if _expires is not None or _job_try is not None:
            raise ValueError(_NO_EXPIRY if _expires is not None else _NO_TRY)
        if _defer_until is not None and _defer_by is not None:
            raise RuntimeError("use either 'defer_until' or 'defer_by' or neither, not both")
        stream = self.stream_of(_queue_name)
        new = NewJob(
            _job_id or uuid.uuid4().hex,
            _json(function, args),
            function=function,
            kwargs=_json(function, kwargs) if kwargs else b"",
            defer_ms=_defer_ms(_defer_until, _defer_by),
        )
        if traceparent := current_traceparent():
            new = new._replace(options=JobOptions(traceparent=traceparent))
        pushed = await stream.push(new)
        if pushed.outcome == "full":
            raise RuntimeError(f"the backlog of {stream.settings.max_backlog} jobs is full")
        if pushed.outcome != "accepted":
            return None
        if stream is self.stream:
            await self._warn_if_unserved(function, pushed.id)
        return StreamJob(pushed.id, self, _queue_name)

    async def _warn_if_unserved(self, function: str, job_id: str) -> None:
        is_known = self._served is None or function in self._served
        now_s = time.monotonic()
        if now_s - self._asked_s < (_KNOWN_S if is_known else _UNKNOWN_S):
            return
        self._asked_s = now_s
        try:
            self._served = await self._functions()
        except Exception as error:
            if not is_unavailable(error):
                raise
            return  # the job is accepted all the same
        if self._served is not None and function not in self._served:
            logger.warning(
                "job %s: no live worker of the queue %s has the function %r; it waits for one that does",
                *(job_id, self.stream.settings.queue_name, function),
            )

    async def _functions(self) -> set[str] | None:
        """The functions of the live workers; None if there are no workers, or one of an older release."""
        views = await self.stream.workers()
        texts = [view.fields.get("functions", "") for view in views]
        return {name for text in texts for name in loads(text.encode())} if texts and all(texts) else None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As in redis-py. Raises NotImplementedError for a key of arq's own queue."""
        if args[0] != "FCALL":
            _refuse_arqs(args, self.default_queue_name)
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """As in redis-py. Its commands raise NotImplementedError for a key of arq's own queue."""
        pipeline = _GuardedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.queue_name = self.default_queue_name
        return pipeline

    async def queued_jobs(self, *, queue_name: str | None = None) -> NoReturn:
        """Not supported."""
        raise NotImplementedError("queued_jobs() is not supported: client.stream.counts() says how many jobs wait")

    async def all_job_results(self) -> NoReturn:
        """Not supported."""
        raise NotImplementedError(
            "all_job_results() is not supported: StreamJob(job_id, client).view() has one job's result, and "
            "client.stream.dead_letters() the jobs that failed"
        )


class _GuardedPipeline(Pipeline):
    queue_name = ""

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        _refuse_arqs(args, self.queue_name)
        return super().execute_command(*args, **kwargs)


def _refuse_arqs(command: tuple[Any, ...], queue_name: str) -> None:
    key = command[1] if len(command) > 1 else ""
    key = key.decode(errors="replace") if isinstance(key, bytes) else key
    if isinstance(key, str) and (key.startswith(_ARQS_PREFIXES) or key in _ARQS_KEYS or key == queue_name):
        raise NotImplementedError(
            f"{key} is a key of arq's own queue, and the jobs are in the stream: use workers.run for arq.worker and "
            "arq's command, StreamJob(job_id, client) for arq.jobs.Job, and client.stream for the queue"
        )


def _json(function: str, arguments: Any) -> bytes:
    try:
        return encode_exactly(arguments)
    except NotJson as error:
        raise SerializationError(
            f'unable to serialize job "{function}": the arguments can\'t be written as JSON: {error}'
        ) from None


def _defer_ms(until: datetime | None, by: int | float | timedelta | None) -> int:
    if until is not None:
        until = until if until.tzinfo else until.replace(tzinfo=UTC)  # as arq reads it
        return max(0, round((until.timestamp() - time.time()) * 1000))
    if by is None:
        return 0
    seconds = by if isinstance(by, int | float) else by.total_seconds()
    return max(0, round(seconds * 1000))


def connect_client(settings: StreamSettings) -> JobClient:
    """A client with a stream of its own; nothing is sent yet. `async with` closes it at its end."""
    client = connect(settings.redis_url, settings.redis_timeout_s, JobClient, "{" + settings.queue_name + "}")
    client.stream = Stream(settings, client)
    client.default_queue_name = settings.queue_name
    client.auto_close_connection_pool = True
    return client
