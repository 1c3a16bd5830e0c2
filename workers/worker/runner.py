"""Runs claimed jobs and tells the stream how they ended."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from workers.stream import Claimed, Finish
from workers.stream.outbox import Outbox
from workers.worker.attempt import Again, Attempt, Done, Failed, Outcome, Stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from arq.cron import CronJob
    from arq.worker import Function

    from workers.telemetry.metrics import JobOutcome
    from workers.worker.attempt import StopReason
    from workers.worker.worker import Worker

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Plan(NamedTuple):
    """A function and what holds for its jobs; `keep_ms` as in `Finish`."""

    function: Function | CronJob
    timeout_s: float | None
    keep_ms: int
    max_attempts: int


class Runner:
    """The jobs that one worker holds: those that run, and those whose outcome the server has not confirmed."""

    def __init__(self, worker: Worker, on_free: Callable[[], None]) -> None:
        self._worker = worker
        self._on_free = on_free
        self._plans = {name: self._plan(function) for name, function in worker.functions.items()}
        self._attempts: dict[str, Attempt] = {}
        self._concluding: set[asyncio.Task[Any]] = set()
        self._outbox = Outbox(self._send)
        self._empty = asyncio.Event()
        self._empty.set()
        self.running = 0
        self.on_failed: Callable[[Claimed, Failed], None] | None = None

    def _plan(self, function: Function | CronJob) -> _Plan:
        worker = self._worker
        timeout_s = worker.job_timeout_s if function.timeout_s is None else function.timeout_s
        max_attempts = worker.max_tries if function.max_tries is None else function.max_tries
        return _Plan(function, timeout_s, self._keep_ms(function), max_attempts)

    def _keep_ms(self, function: Function | CronJob | None) -> int:
        forever, keep_s = self._worker.keep_result_forever, self._worker.keep_result_s
        if function is not None:
            forever = forever if function.keep_result_forever is None else function.keep_result_forever
            keep_s = keep_s if function.keep_result_s is None else function.keep_result_s
        return -1 if forever else round((keep_s or 0) * 1000)

    # what it holds

    @property
    def held(self) -> list[tuple[str, int]]:
        """Ids and attempts."""
        return [(attempt.job.id, attempt.job.attempt) for attempt in self._attempts.values()]

    @property
    def job_at_hand(self) -> str:
        """The id of a job that runs (of several, the one that was claimed first), or empty."""
        return next((job_id for job_id, attempt in self._attempts.items() if not attempt.ended), "")

    async def until_empty(self) -> None:
        """Returns when nothing runs and every outcome has been confirmed."""
        await self._empty.wait()

    def start(self, job: Claimed) -> None:
        """Runs a job that was just claimed in a task of its own."""
        if before := self._attempts.get(job.id):
            # Its lease had run out, as it comes again.
            before.stop("lost")
        attempt = self._attempts[job.id] = Attempt(job)
        self._empty.clear()
        self.running += 1
        attempt.task = self._worker.tasks[job.id] = self._worker.loop.create_task(self._run(attempt))

    def refuse(self, job: Claimed) -> None:
        """Hands back a job that was just claimed, instead of running it."""
        worker, held = self._worker, [(job.id, job.attempt)]
        self._conclude_soon(worker.link.call(lambda: worker.stream.release(worker.id, held), "handing a job back"))

    def lose(self, entry: str) -> bool:
        """Stops the job of an entry that was handed back. False: it does not run."""
        attempt = next((one for one in self._attempts.values() if one.job.entry == entry), None)
        if attempt is not None:
            attempt.stop("lost")
        return attempt is not None

    def stop(self, job_id: str, reason: StopReason, attempt_number: int | None = None) -> None:
        """Stops a job if it runs (as that attempt)."""
        attempt = self._attempts.get(job_id)
        if attempt is not None and attempt_number in (None, attempt.job.attempt):
            attempt.stop(reason)

    def stop_all(self, reason: StopReason) -> None:
        """Stops every job that runs."""
        for attempt in list(self._attempts.values()):
            attempt.stop(reason)

    async def close(self) -> None:
        """Gives up outcomes that could not be told to the server."""
        for task in self._concluding:
            task.cancel()
        if self._concluding:
            await asyncio.wait(self._concluding)
        await self._outbox.close()

    # one job

    async def _run(self, attempt: Attempt) -> None:
        try:
            await self._run_and_record(attempt)
        except Exception:
            logger.exception("job %s: its outcome could not be recorded", attempt.job.id)
            self._forget(attempt)

    async def _run_and_record(self, attempt: Attempt) -> None:
        worker, job, metrics = self._worker, attempt.job, self._worker.metrics
        plan = self._plans.get(job.function)
        started_s = time.monotonic()
        if job.attempt == 1:
            metrics.queue_waits.add(time.time() - job.queued_ms / 1000)
        ctx: dict[Any, Any] = {}
        try:
            if plan is None:
                outcome: Outcome = Failed("FunctionNotFound", f"function {job.function!r} not found")
            else:
                ctx = attempt.context(worker.ctx)
                outcome = await attempt.run(
                    plan.function,
                    ctx,
                    plan.timeout_s,
                    worker.retry_jobs,
                    worker.settings.max_result_bytes,
                    worker.on_job_start,
                )
        finally:
            self.running -= 1
            self._on_free()
        took_s = time.monotonic() - started_s
        metrics.attempts.add(took_s)
        if not isinstance(outcome, Stopped):
            metrics.served.add(took_s)
            if metrics.served.count == 1:  # all a scaler knows at first
                worker.heartbeat.hasten()
        hooked = bool(plan and (worker.on_job_end or worker.after_job_end))
        if isinstance(outcome, Done) and not hooked:
            # The usual way awaits nothing any more.
            self._finish(attempt, outcome, None)
        else:
            await self._uncancelled(self._conclude(attempt, outcome, ctx if hooked else None))

    async def _uncancelled(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # A cancel that comes once the function has returned must not lose the outcome.
        await asyncio.shield(self._conclude_soon(coroutine))

    def _conclude_soon(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._worker.loop.create_task(coroutine)
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)
        return task

    async def _conclude(self, attempt: Attempt, outcome: Outcome, ctx: dict[Any, Any] | None) -> None:
        """Records the outcome between the hooks, which are only called with a `ctx`."""
        worker, job_id = self._worker, attempt.job.id
        if ctx is not None and worker.on_job_end:
            await self._call_hook(worker.on_job_end, ctx, f"job {job_id}: on_job_end")
        match outcome:
            case Again():
                await self._try_again(attempt, outcome)
            case Stopped("shutdown"):
                await self._hand_back(attempt)
            case Stopped(reason):
                logger.info("job %s was stopped: %s", job_id, reason)
                self._count("cancelled" if reason == "cancelled" else "lost")
                self._forget(attempt)
            case Done() | Failed():
                await self._finished(attempt, outcome)
        if ctx is not None and worker.after_job_end:
            await self._call_hook(worker.after_job_end, ctx, f"job {job_id}: after_job_end")

    async def _call_hook(
        self, hook: Callable[[dict[Any, Any]], Awaitable[None]], ctx: dict[Any, Any], name: str
    ) -> None:
        try:
            async with asyncio.timeout(self._worker.job_timeout_s):
                await hook(ctx)
        except Exception:
            logger.exception("%s failed; the outcome stands", name)

    async def _try_again(self, attempt: Attempt, again: Again) -> None:
        worker, job = self._worker, attempt.job
        plan = self._plans[job.function]
        of = f"attempt {job.attempt} of {plan.max_attempts}"
        if job.attempt >= plan.max_attempts:
            message = f"{again.error.message} ({of})"
            logger.warning("job %s failed: %s: %s", job.id, again.error.type, message)
            await self._finished(attempt, Failed(again.error.type, message))
            return
        # First the word, then the deed: a deferred job may be under way again before this goes on.
        logger.warning(
            "job %s: %s: %s (%s), again in %.3g s",
            *(job.id, again.error.type, again.error.message, of, again.defer_ms / 1000),
        )
        held = await worker.link.call(
            lambda: worker.stream.defer(worker.id, job.id, job.attempt, again.defer_ms), "deferring a retry"
        )
        worker.jobs_retried += held
        self._count("retried" if held else "lost")
        self._forget(attempt)

    async def _hand_back(self, attempt: Attempt) -> None:
        worker, job = self._worker, attempt.job
        count = await worker.link.call(
            lambda: worker.stream.release(worker.id, [(job.id, job.attempt)]), "handing a job back"
        )
        worker.jobs_retried += count
        self._count("released" if count else "lost")
        self._forget(attempt)

    async def _finished(self, attempt: Attempt, outcome: Done | Failed) -> None:
        recorded = asyncio.Event()
        self._finish(attempt, outcome, recorded)
        await recorded.wait()

    def _finish(self, attempt: Attempt, outcome: Done | Failed, recorded: asyncio.Event | None) -> None:
        job = attempt.job
        plan = self._plans.get(job.function)
        status: Literal["finished", "failed"] = "finished" if isinstance(outcome, Done) else "failed"
        self._outbox.put(
            Finish(job.id, job.attempt, status, outcome.body, plan.keep_ms if plan else self._keep_ms(None)),
            partial(self._recorded, attempt, outcome, recorded),
        )

    async def _send(self, finishes: Sequence[Finish]) -> Sequence[bool]:
        worker = self._worker
        return await worker.link.call(lambda: worker.stream.finish(worker.id, finishes), "finishing")

    def _recorded(
        self,
        attempt: Attempt,
        outcome: Done | Failed,
        recorded: asyncio.Event | None,
        finish: Finish,
        done: bool | None,
    ) -> None:
        if done:
            if isinstance(outcome, Done):
                self._worker.jobs_complete += 1
            else:
                self._worker.jobs_failed += 1
                if self.on_failed:
                    self.on_failed(attempt.job, outcome)
            self._count(finish.status)
        else:
            self._count("lost")
            if done is False:
                logger.warning("job %s had left this worker before its attempt %d ended", finish.id, finish.attempt)
        self._forget(attempt)
        if recorded:
            recorded.set()

    def _count(self, outcome: JobOutcome) -> None:
        self._worker.metrics.jobs[outcome] += 1

    def _forget(self, attempt: Attempt) -> None:
        job_id = attempt.job.id
        # Not if it has been claimed anew meanwhile.
        if self._attempts.get(job_id) is attempt:
            del self._attempts[job_id]
            self._worker.tasks.pop(job_id, None)
            if not self._attempts:
                self._empty.set()
                self._on_free()
