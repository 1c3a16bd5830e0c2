"""One attempt of one job: from a claimed entry to what is to be told to the stream."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import orjson
from arq.worker import Retry, RetryJob

from workers.arq.sentry import failure
from workers.model_host.errors import ModelAskedAgain, ModelCrashed, ModelRaised, ModelUnavailable
from workers.telemetry.tracebacks import message_of, name_of
from workers.wire.decode import loads
from workers.wire.encode import encode, encode_exactly
from workers.wire.limits import NotJson
from workers.wire.result import EncodedResult, notes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arq.cron import CronJob
    from arq.worker import Function

    from workers.stream import Claimed

logger = logging.getLogger(__name__)

StopReason: TypeAlias = Literal["timeout", "cancelled", "lost", "shutdown"]
RETRY_BASE_S = 1.0
RETRY_MOST_S = 60.0
_MAX_MESSAGE_CHARS = 2000


class NotAtHand(Retry):
    """What the job needs is away for now. At its last attempt the job fails with the name and message of the cause."""


class KnownFailure(Exception):  # noqa: N818
    """Fails its job. The message says all that there is to know, so the log has no traceback."""


class Done(NamedTuple):
    """The function returned; `body` is its result as JSON, `notes` what is kept beside it (`workers.wire.result`)."""

    body: bytes
    notes: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """The job is not to be tried again; `type` and `message` are shown to its user. `raised` stays in this process."""

    type: str
    message: str
    raised: BaseException | None = field(default=None, compare=False)

    @property
    def body(self) -> bytes:
        """The error as JSON: {"type", "message"}, the message cut to 2,000 characters."""
        # Lone surrogates are no JSON.
        texts = (text[:_MAX_MESSAGE_CHARS].encode(errors="replace").decode() for text in (self.type, self.message))
        return orjson.dumps(dict(zip(("type", "message"), texts, strict=True)))


@dataclass(frozen=True, slots=True)
class Again:
    """The job is to be tried again after `defer_ms` ms, if it has attempts left; otherwise it fails with `error`."""

    defer_ms: int
    error: Failed


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was stopped from outside: handed back on shutdown, otherwise no longer ours."""

    reason: Literal["cancelled", "lost", "shutdown"]


Outcome: TypeAlias = Done | Failed | Again | Stopped


def retry_defer_ms(attempt: int) -> int:
    """Milliseconds before a retry that names no `defer`: exponential with full jitter.

    At random up to 1 s after the first attempt, doubling to at most 60 s ("full jitter" of Brooker,
    "Exponential Backoff And Jitter", 2015).
    """
    most_s = min(RETRY_MOST_S, RETRY_BASE_S * 2.0 ** min(attempt - 1, 30))
    return max(1, round(1000 * random.uniform(0, most_s)))  # noqa: S311


class Attempt:
    """Runs a claimed job's function in the task `task`, and can be stopped from another."""

    __slots__ = ("_cancels", "_running", "ended", "job", "stop_reason", "task")

    def __init__(self, job: Claimed) -> None:
        self.job = job
        self.stop_reason: StopReason | None = None
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        self._running = False
        self._cancels = 0

    def stop(self, reason: StopReason) -> None:
        """Cancels the function if it runs; the first reason stands. No effect once it has returned."""
        first = self.stop_reason is None
        if first:
            self.stop_reason = reason
        # One that still runs after an earlier stop may be stuck in its cleaning up.
        if self._running and self.task is not None and (first or self.stop_reason != reason):
            self._cancels += 1
            self.task.cancel()

    def context(self, shared: dict[Any, Any]) -> dict[Any, Any]:
        """arq's `ctx` of a job: the worker's, with job_id, job_try, enqueue_time and score.

        Beside them are the job's own timeout_s and traceparent.
        """
        job = self.job
        return {
            **shared,
            "job_id": job.id,
            "job_try": job.attempt,
            "enqueue_time": datetime.fromtimestamp(job.queued_ms / 1000, UTC),
            "score": job.queued_ms,
            "timeout_s": job.options.timeout_s,
            "traceparent": job.traceparent,
        }

    async def run(
        self,
        function: Function | CronJob,
        ctx: dict[Any, Any],
        timeout_s: float | None,
        retry_jobs: bool,
        max_result_bytes: int,
        before: Callable[[dict[Any, Any]], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Runs `before` and the function to an outcome.

        Raises KeyboardInterrupt and GeneratorExit only. Once the function has returned, no cancel changes the outcome.
        """
        if self.stop_reason is not None and self.stop_reason != "timeout":
            return Stopped(self.stop_reason)
        job = self.job
        timer = None if timeout_s is None else asyncio.get_running_loop().call_later(timeout_s, self.stop, "timeout")
        ready = before is None
        self._running = True
        try:
            if before is not None:
                await before(ctx)
                ready = True
            args = loads(job.args)
            kwargs = loads(job.kwargs) if job.kwargs else {}
            result = await function.coroutine(ctx, *args, **kwargs)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - `sys.exit` would end the worker, and the job that of the next
            return self._outcome_of(error, ready, timeout_s, retry_jobs)
        finally:
            self._running = False
            self.ended = True
            if timer is not None:
                timer.cancel()
            # The cancels were `stop`'s, and have been answered here.
            while self._cancels and self.task is not None:
                self._cancels -= 1
                self.task.uncancel()
        return self._done(result, max_result_bytes)

    def _outcome_of(self, raised: BaseException, ready: bool, timeout_s: float | None, retry_jobs: bool) -> Outcome:
        error = raised
        # After a stop it is whatever the function made of our cancel.
        if self.stop_reason == "timeout":
            error = TimeoutError(f"timed out after {timeout_s:g} s")
        elif self.stop_reason is not None or isinstance(error, ModelUnavailable):
            return Stopped(self.stop_reason or "shutdown")
        if not ready:
            # The job is not to blame, and has not run.
            failed = Failed("JobHookFailed", f"on_job_start failed: {name_of(error)}: {message_of(error)}")
            logger.error("job %s: %s", self.job.id, failed.message, exc_info=raised)
            return Again(_defer_ms(error, self.job.attempt), failed) if retry_jobs else failed
        if isinstance(error, asyncio.CancelledError):
            # Somebody else's cancel, or the function's own; arq tries such a job again at once.
            failed = Failed("CancelledError", "the function was cancelled")
            return Again(0, failed) if retry_jobs else failed
        if isinstance(error, ModelRaised):
            # Its traceback is in the log of its process.
            logger.error("job %s failed: %s", self.job.id, error, extra=failure(error.type, error.message))
            return Failed(error.type, error.message)
        if retry_jobs and isinstance(error, Retry | RetryJob | ModelCrashed):
            return Again(_defer_ms(error, self.job.attempt), _reason(error))
        if isinstance(error, KnownFailure):
            logger.error("job %s failed: %s: %s", self.job.id, name_of(error), message_of(error), extra=_extra(error))
        else:
            logger.error("job %s failed", self.job.id, exc_info=error, extra=_extra(error))
        return Failed(name_of(error), message_of(error), error)

    def _done(self, result: Any, max_result_bytes: int) -> Outcome:
        kept = b""
        if isinstance(result, EncodedResult):
            body, warnings = result.body, result.warnings
            kept = notes(warnings, b"" if result.has_input else _input_of(self.job))
        else:
            try:
                body, found = encode(result)
            except NotJson as error:
                return Failed("TypeError", f"the result can't be written as JSON: {error}")
            warnings = orjson.dumps(found) if found else b""
            if warnings:
                kept = notes(warnings)
        if len(body) > max_result_bytes:
            return Failed("ResultTooLarge", f"the result is {len(body)} bytes of JSON, {max_result_bytes} are allowed")
        if warnings:
            logger.warning("job %s: its result is not quite what was returned: %s", self.job.id, warnings.decode())
        return Done(body, kept)


def _input_of(job: Claimed) -> bytes:
    """The one argument of a job of the model, as it was pushed."""
    return encode_exactly(loads(job.kwargs)["input"]) if job.args == b"[]" else job.args[1:-1]


def _extra(error: BaseException) -> dict[str, Any]:
    """arq's: what an exception has as `extra` is in the log's record."""
    extra = getattr(error, "extra", None)
    return {"extra": extra() if callable(extra) else extra}


def _defer_ms(error: BaseException, attempt: int) -> int:
    defer_ms = error.defer_score if isinstance(error, Retry) else None
    return retry_defer_ms(attempt) if defer_ms is None else max(0, defer_ms)


def _reason(error: BaseException) -> Failed:
    if isinstance(error, ModelCrashed):
        return Failed(type(error).__name__, str(error))
    cause = error.__cause__ or error.__context__
    if isinstance(error, NotAtHand) and cause is not None:
        return Failed(name_of(cause), message_of(cause))
    if isinstance(cause, ModelAskedAgain):
        why = f": {cause}" if str(cause) else ""
    else:
        why = f": {name_of(cause)}: {message_of(cause)}" if cause is not None else ""
    return Failed(type(error).__name__, f"the function asked for another attempt{why}")
