"""One attempt of one job: from a claimed entry to what is to be told to the stream."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson
from arq.worker import Retry, RetryJob

from workers.host import ModelCrashed, ModelRaised

if TYPE_CHECKING:
    from arq.cron import CronJob
    from arq.worker import Function

    from workers.stream import Claimed

logger = logging.getLogger(__name__)

StopReason: TypeAlias = Literal["cancelled", "lost", "shutdown"]
RETRY_BASE_S = 1.0
RETRY_MOST_S = 60.0
_MAX_MESSAGE_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Done:
    """The function returned; `body` is its result as JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The job is not to be tried again; `body` is {"type", "message"} as JSON."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Again:
    """The job is to be tried again after `defer_ms` ms, if it has attempts left; `error` says why, as JSON."""

    defer_ms: int
    error: bytes


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was stopped from outside: handed back on shutdown, otherwise no longer ours."""

    reason: StopReason


Outcome: TypeAlias = Done | Failed | Again | Stopped


def error_body(type_name: str, message: str) -> bytes:
    """An error as JSON: {"type", "message"}, the message cut to 2,000 characters."""
    text = message[:_MAX_MESSAGE_CHARS].encode(errors="replace").decode()
    return orjson.dumps({"type": type_name, "message": text})


def retry_defer_ms(attempt: int) -> int:
    """Milliseconds before a retry that names no `defer`: exponential with full jitter.

    At random up to 1 s after the first attempt, doubling to at most 60 s ("full jitter" of Brooker,
    "Exponential Backoff And Jitter", 2015).
    """
    most_s = min(RETRY_MOST_S, RETRY_BASE_S * 2.0 ** min(attempt - 1, 30))
    return max(1, round(1000 * random.uniform(0, most_s)))  # noqa: S311


class Attempt:
    """Runs a claimed job's function in the current task, and can be stopped from another."""

    def __init__(self, job: Claimed) -> None:
        self.job = job
        self.stop_reason: StopReason | None = None
        self._task: asyncio.Task[Any] | None = None

    def stop(self, reason: StopReason) -> None:
        """Cancels the function if it runs; the first reason stands. No effect once it has returned."""
        if self.stop_reason is None:
            self.stop_reason = reason
            if self._task is not None:
                self._task.cancel()

    def context(self, shared: dict[Any, Any]) -> dict[Any, Any]:
        """arq's `ctx` of a job: the worker's, with job_id, job_try, enqueue_time and score."""
        return {
            **shared,
            "job_id": self.job.id,
            "job_try": self.job.attempt,
            "enqueue_time": datetime.fromtimestamp(self.job.queued_ms / 1000, tz=UTC),
            "score": self.job.queued_ms,
        }

    async def run(
        self,
        function: Function | CronJob,
        ctx: dict[Any, Any],
        timeout_s: float | None,
        retry_jobs: bool,
    ) -> Outcome:
        """Runs to an outcome; raises only what is no `Exception`, such as a cancel of the caller itself."""
        if self.stop_reason is not None:
            return Stopped(self.stop_reason)
        job = self.job
        deadline = asyncio.timeout(timeout_s)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._task = task
        try:
            args = orjson.loads(job.args)
            kwargs = orjson.loads(job.kwargs) if job.kwargs else {}
            async with deadline:
                result = await function.coroutine(ctx, *args, **kwargs)
            return Done(orjson.dumps(result))
        except asyncio.CancelledError:
            return self._outcome_of_cancel(task, retry_jobs)
        except Exception as error:  # noqa: BLE001
            if deadline.expired() and isinstance(error, TimeoutError):
                return _failed("TimeoutError", f"timed out after {timeout_s:g} s")
            return self._outcome_of(error, retry_jobs)
        finally:
            self._task = None

    def _outcome_of_cancel(self, task: asyncio.Task[Any], retry_jobs: bool) -> Outcome:
        if self.stop_reason is not None:
            # The cancel was `stop`'s, and has been answered here.
            task.uncancel()
            return Stopped(self.stop_reason)
        if retry_jobs:
            return Again(0, error_body("CancelledError", "the function was cancelled"))
        return _failed("CancelledError", "the function was cancelled")

    def _outcome_of(self, error: Exception, retry_jobs: bool) -> Outcome:
        if isinstance(error, ModelRaised):
            return _failed(error.type, error.message)
        if isinstance(error, orjson.JSONEncodeError):
            return _failed("TypeError", f"the result can't be written as JSON: {error}")
        if retry_jobs and isinstance(error, Retry | RetryJob | ModelCrashed):
            defer_ms = error.defer_score if isinstance(error, Retry) else None
            if defer_ms is None:
                defer_ms = retry_defer_ms(self.job.attempt)
            return Again(defer_ms, error_body(type(error).__name__, str(error)))
        logger.warning("job %s failed", self.job.id, exc_info=error)
        return _failed(type(error).__name__, str(error))


def _failed(type_name: str, message: str) -> Failed:
    return Failed(error_body(type_name, message))
