"""Runs claimed jobs and tells the stream how they ended."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from arq.worker import JobExecutionFailed

from workers.arq.sentry import failure, job_scope
from workers.stream import Claimed, Finish
from workers.telemetry.log_job import about, log_as
from workers.worker.attempt import Again, Attempt, Done, Failed, Outcome, Stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from workers.telemetry.metrics import JobOutcome
    from workers.worker.attempt import StopReason
    from workers.worker.events import Events, Outbox
    from workers.worker.finishes import Finishes
    from workers.worker.foreign import ForeignJobs
    from workers.worker.functions import Functions
    from workers.worker.session import Session
    from workers.worker.spans import Spans

    OnOutcome: TypeAlias = Callable[[Claimed, JobOutcome, Outcome], None]

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Runner:
    """The jobs that one worker holds: those that run, and those whose outcome the server has not confirmed.

    `on_end` is called when a job has stopped running: with the seconds that it took, if its finish leaves now and can
    tell of the start of another; it says whether it has started one. `on_slot_free` comes after that, `on_outcome` when
    an attempt is over and the server knows, and `on_empty` when that was the last one.
    `tasks` has the task of each job by its id, for arq's sake. Without `spans` nothing is traced.
    """

    def __init__(
        self,
        session: Session,
        functions: Functions,
        finishes: Finishes,
        foreign: ForeignJobs,
        events: Events,
        tasks: dict[str, asyncio.Task[Any]],
        on_end: Callable[[Claimed, float | None], bool],
        on_slot_free: Callable[[], None],
        on_empty: Callable[[], None],
        on_outcome: OnOutcome,
        spans: Spans | None = None,
    ) -> None:
        self._session = session
        self._functions = functions
        self.foreign = foreign
        self.events = events
        self._tasks = tasks
        self._on_end = on_end
        self._on_slot_free = on_slot_free
        self._on_empty = on_empty
        self._on_outcome = on_outcome if spans is None else spans.ending(on_outcome)
        self._spans = spans
        self._attempts: dict[str, Attempt] = {}
        self._concluding: set[asyncio.Task[Any]] = set()
        self._finishes = finishes
        self._empty = asyncio.Event()
        self._empty.set()

    # what it holds

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

    def start(self, job: Claimed) -> bool:
        """Runs a claimed job in a task of its own. False: it goes back, as this worker lacks its function."""
        if not self.has_function_of(job):
            self._conclude_soon(self._put_off(job))
            return False
        if before := self._attempts.get(job.id):
            # Its lease had run out, as it comes again.
            before.stop("lost")
        attempt = self._attempts[job.id] = Attempt(job)
        self._empty.clear()
        self._session.life.running += 1
        context = None if self._spans is None else self._spans.begin(attempt)
        # `asyncio.create_task` does this with more calls.
        attempt.task = self._tasks[job.id] = asyncio.get_running_loop().create_task(self._run(attempt), context=context)
        return True

    def has_function_of(self, job: Claimed) -> bool:
        """Whether this worker can run it."""
        return job.function in self._functions.plans

    def refuse(self, job: Claimed) -> None:
        """Hands back a job that was just claimed, instead of running it."""
        self._conclude_soon(self._release(job))

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
        await self.events.close()
        await self._finishes.abandon()
        if self._spans is not None:
            self._spans.close()

    # one job

    async def _run(self, attempt: Attempt) -> None:
        log_as(attempt.job)
        try:
            scope = job_scope(attempt.job, self._session.settings.queue_name)
            if scope is None:
                await self._run_and_record(attempt)
            else:
                with scope:
                    await self._run_and_record(attempt)
        except Exception:
            logger.exception("job %s: its outcome could not be recorded", attempt.job.id)
            if self._spans is not None:
                self._spans.abandon(attempt.job)
            self._forget(attempt)

    async def _run_and_record(self, attempt: Attempt) -> None:
        functions, metrics, job = self._functions, self._session.metrics, attempt.job
        plan = functions.plans[job.function]
        started_s = time.monotonic()
        if job.attempt == 1:
            metrics.waited(time.time() - job.queued_ms / 1000)
        ctx = attempt.context(functions.ctx)
        try:
            outcome = await attempt.run(
                plan.function,
                ctx,
                plan.timeout_of(job.options),
                functions.retry_jobs,
                self._session.settings.max_result_bytes,
                functions.on_job_start,
            )
        except BaseException:
            self._free_slot(job)
            raise
        took_s = time.monotonic() - started_s
        hooked, told = functions.has_end_hook, self.events.take(job.id, job.attempt)
        if isinstance(outcome, Done) and not hooked and told is None:
            self._end_usually(attempt, outcome, took_s)
            self._measured(outcome, took_s)
        else:
            self._measured(outcome, took_s)
            self._free_slot(job)
            await self._uncancelled(self._conclude(attempt, outcome, ctx if hooked else None, told))

    def _measured(self, outcome: Outcome, took_s: float) -> None:
        metrics = self._session.metrics
        metrics.attempts.observe(took_s)
        if not isinstance(outcome, Stopped):
            metrics.served.add(took_s)
            if metrics.served.count == 1:  # a scaler knows no service time yet
                self._session.life.news.set()

    def _end_usually(self, attempt: Attempt, outcome: Done, took_s: float) -> None:
        """Awaits nothing. The claim for the slot that is free now goes along with the finish.

        So does the start of the next job, if one was held ahead: that gets to the model before the finish is made.
        """
        # It has told no events, so its record still has nothing more than the claim has seen.
        finish = self._finish_of(attempt, outcome)._replace(is_plain=attempt.job.is_plain)
        self._session.life.running -= 1
        is_next_started = self._on_end(attempt.job, took_s if self._finishes.is_small(finish) else None)

        def end() -> None:
            self._put(attempt, outcome, finish, None)
            self._on_slot_free()

        if is_next_started:
            asyncio.get_running_loop().call_soon(end)
        else:
            end()

    def _free_slot(self, job: Claimed) -> None:
        self._session.life.running -= 1
        self._on_end(job, None)
        self._on_slot_free()

    async def _uncancelled(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # A cancel that comes once the function has returned must not lose the outcome.
        await asyncio.shield(self._conclude_soon(coroutine))

    def _conclude_soon(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine)
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)
        return task

    async def _conclude(
        self, attempt: Attempt, outcome: Outcome, ctx: dict[Any, Any] | None, told: Outbox | None
    ) -> None:
        """Records the outcome between the hooks, which are only called with a `ctx`."""
        functions, job_id = self._functions, attempt.job.id
        await self.events.until_registered(job_id, attempt.job.attempt)
        if told is not None:  # once the outcome is recorded, the server takes no events of the attempt
            await told.delivered()
        if ctx is not None and functions.on_job_end:
            await self._call_hook(functions.on_job_end, ctx, f"job {job_id}: on_job_end")
        match outcome:
            case Again():
                await self._try_again(attempt, outcome)
            case Stopped("shutdown"):
                held = await self._release(attempt.job)
                self._end(attempt, "released" if held else "lost", outcome)
            case Stopped(reason):
                logger.info("job %s was stopped: %s", job_id, reason)
                self._end(attempt, "cancelled" if reason == "cancelled" else "lost", outcome)
            case Done() | Failed():
                await self._finished(attempt, outcome)
        if ctx is not None and functions.after_job_end:
            await self._call_hook(functions.after_job_end, ctx, f"job {job_id}: after_job_end")

    async def _call_hook(
        self, hook: Callable[[dict[Any, Any]], Awaitable[None]], ctx: dict[Any, Any], name: str
    ) -> None:
        try:
            async with asyncio.timeout(self._functions.hook_timeout_s):
                await hook(ctx)
        except Exception:
            logger.exception("%s failed; the outcome stands", name)

    async def _put_off(self, job: Claimed) -> None:
        try:
            error = await self.foreign.put_off(job)
        except Exception:
            extra = about(job.id, job.attempt)
            logger.exception("job %s could not be handed back: its lease will run out", job.id, extra=extra)
            return
        if error is not None:
            self._session.metrics.jobs["failed"] += 1
            self._on_outcome(job, "failed", error)

    async def _release(self, job: Claimed) -> bool:
        """Hands a job back, its attempt uncounted. False: it was not held any more."""
        session, held = self._session, [(job.id, job.attempt)]
        count = await session.outage.call(lambda: session.stream.release(session.id, held), "handing a job back")
        return count > 0

    async def _try_again(self, attempt: Attempt, again: Again) -> None:
        session, job = self._session, attempt.job
        max_attempts = job.options.max_attempts or self._functions.plans[job.function].max_attempts
        of = f"attempt {job.attempt} of {max_attempts}"
        if job.attempt >= max_attempts:
            message = f"{again.error.message} ({of})"
            told = failure(again.error.type, message)
            logger.error("job %s failed: %s: %s", job.id, again.error.type, message, extra=told)
            raised = JobExecutionFailed(f"max {max_attempts} retries exceeded")  # arq's words
            await self._finished(attempt, Failed(again.error.type, message, raised))
            return
        # Logged before the call: once deferred, the job may be under way again before this goes on.
        logger.warning(
            "job %s: %s: %s (%s), again in %.3g s",
            *(job.id, again.error.type, again.error.message, of, again.defer_ms / 1000),
        )
        held = await session.outage.call(
            lambda: session.stream.defer(session.id, job.id, job.attempt, again.defer_ms), "deferring a retry"
        )
        self._end(attempt, "retried" if held else "lost", again)

    async def _finished(self, attempt: Attempt, outcome: Done | Failed) -> None:
        recorded = asyncio.Event()
        self._put(attempt, outcome, self._finish_of(attempt, outcome), recorded)
        await recorded.wait()

    def _finish_of(self, attempt: Attempt, outcome: Done | Failed) -> Finish:
        job = attempt.job
        keep_ms = job.options.keep_ms or self._functions.plans[job.function].keep_ms
        if isinstance(outcome, Done):
            return Finish(job.id, job.attempt, "finished", outcome.body, keep_ms, outcome.notes)
        return Finish(job.id, job.attempt, "failed", outcome.body, keep_ms)

    def _put(self, attempt: Attempt, outcome: Done | Failed, finish: Finish, recorded: asyncio.Event | None) -> None:
        self._finishes.put(finish, partial(self._recorded, attempt, outcome, recorded, finish))

    def _recorded(
        self,
        attempt: Attempt,
        outcome: Done | Failed,
        recorded: asyncio.Event | None,
        finish: Finish,
        done: bool | BaseException,
    ) -> None:
        extra = None if done is True else about(finish.id, finish.attempt)
        if isinstance(done, BaseException):
            if isinstance(done, asyncio.CancelledError):  # given up: this worker ends
                return
            logger.error("job %s: its outcome could not be recorded", finish.id, exc_info=done, extra=extra)
        elif not done:
            logger.warning(
                "job %s had left this worker before its attempt %d ended", finish.id, finish.attempt, extra=extra
            )
        self._end(attempt, finish.status if done is True else "lost", outcome)
        if recorded:
            recorded.set()

    def _end(self, attempt: Attempt, ended_as: JobOutcome, outcome: Outcome) -> None:
        """The attempt is over, and the server knows."""
        self._session.metrics.jobs[ended_as] += 1
        self._on_outcome(attempt.job, ended_as, outcome)
        self._forget(attempt)

    def _forget(self, attempt: Attempt) -> None:
        job_id = attempt.job.id
        # Not if it has been claimed anew meanwhile.
        if self._attempts.get(job_id) is attempt:
            del self._attempts[job_id]
            self._tasks.pop(job_id, None)
            if not self._attempts:
                self._empty.set()
                self._on_empty()
