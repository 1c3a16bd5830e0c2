"""An arq worker whose transport is the job stream.

What arq's `Worker` takes holds here: functions, hooks, `ctx`, timeouts, `Retry`, burst mode, cron jobs.
What it does with Redis is replaced: jobs are claimed from a consumer group under leases, a blocked worker
is woken instead of polling, and nothing is pickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from datetime import datetime
from functools import partial
from signal import Signals
from typing import TYPE_CHECKING, Any

from arq import worker as arq_worker

from workers.attempt import Again, Attempt, Done, Failed, Outcome, Stopped, error_body
from workers.batch import Batcher
from workers.connection import until_available
from workers.settings import WorkerSettings
from workers.stream import Claimed, Finish, NewJob, Stream

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from arq.cron import CronJob
    from arq.worker import Function

logger = logging.getLogger(__name__)

_HEARTBEATS_TO_EXPIRY = 3.5


class Worker(arq_worker.Worker):
    """Claims, runs and acknowledges jobs of one queue.

    Takes what `arq.Worker` takes, and `settings`, which say where the stream is and how long a lease lasts.
    `redis_settings`, `redis_pool`, `poll_delay`, `queue_read_limit` and the serializers have no effect.
    """

    def __init__(self, functions: Sequence[Any] = (), *, settings: WorkerSettings | None = None, **kwargs: Any) -> None:
        self.settings = settings or WorkerSettings()
        kwargs.setdefault("max_tries", self.settings.max_attempts)
        kwargs.setdefault("job_timeout", self.settings.job_timeout_s)
        kwargs.setdefault("keep_result", self.settings.keep_result_s)
        kwargs.setdefault("job_completion_wait", self.settings.grace_s)
        kwargs["queue_name"] = self.settings.queue_name
        super().__init__(functions, **kwargs)
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.stream = Stream(self.settings)
        self.capacity = self.max_jobs
        self.ready = asyncio.Event()
        self._attempts: dict[str, Attempt] = {}
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        self._side: list[asyncio.Task[None]] = []
        self._watched = asyncio.Event()
        self._hand_back = asyncio.Event()
        self._started_ms = round(time.time() * 1000)
        self._ready_ms = 0
        self._finishes: Batcher[Finish, bool] = Batcher(self._send_finishes)
        self._claimed_count = 0
        self._attempts_of = {
            name: f.max_tries for name, f in self.functions.items() if f.max_tries is not None and f.max_tries > 0
        }

    # life

    async def main(self) -> None:
        """Runs until a signal or, in burst mode, until no job is left. A dead side task ends it with its error."""
        await until_available(self.stream.open, "opening the stream")
        subscription = self.stream.wakeups(self.id, self._work.set, lambda job_id: self._stop_job(job_id, "cancelled"))
        self.ctx["redis"] = self.stream.redis
        self.ctx["stream"] = self.stream
        self.ctx["worker"] = self
        await self._register("starting")
        for coroutine, name in (
            (subscription.run(), "subscription"),
            (self._keep_leases(), "leases"),
            (self._keep_sweeping(), "sweep"),
            (self._keep_cron(), "cron"),
        ):
            self.watch(coroutine, name)
        work = asyncio.create_task(self._main_work(), name="work")
        try:
            while not work.done():
                # `watch` may add to the side tasks while this waits.
                self._watched.clear()
                changed = asyncio.create_task(self._watched.wait())
                await asyncio.wait([work, changed, *self._side], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._raise_of_side_tasks()
            work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])
            await self._end_attempts()
            for task in self._side:
                task.cancel()
            await asyncio.wait(self._side)

    def watch(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Runs a side task for as long as the worker runs; if it ends, the worker stops with its error."""
        self._side.append(asyncio.create_task(coroutine, name=name))
        self._watched.set()

    def _raise_of_side_tasks(self) -> None:
        for task in self._side:
            if task.done():
                task.result()
                raise RuntimeError(f"the worker's {task.get_name()} task ended")

    async def _main_work(self) -> None:
        if self.on_startup:
            startup = asyncio.ensure_future(self.on_startup(self.ctx))
            stopping = asyncio.create_task(self._stopping.wait())
            pair: tuple[asyncio.Future[Any], ...] = (startup, stopping)
            try:
                await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
                if not startup.done():
                    return
                startup.result()
            finally:
                for task in pair:
                    task.cancel()
                await asyncio.wait(pair)
        self._ready_ms = round(time.time() * 1000)
        await self._register("idle")
        self.ready.set()
        logger.info("ready: %s", ", ".join(self.functions))
        await self._claim_loop()
        self.ready.clear()

    async def _claim_loop(self) -> None:
        while not self._stopping.is_set():
            self._work.clear()
            free = self._free()
            if free > 0:
                await self._claim(free)
            if self.burst and not self._attempts and await self._is_drained():
                return
            await self._work.wait()

    def _free(self) -> int:
        free = min(self.capacity, self.max_jobs) - len(self._attempts)
        if self.burst and self.max_burst_jobs >= 0:
            free = min(free, self.max_burst_jobs - self._claimed_count)
        return free if self.allow_pick_jobs else 0

    async def _is_drained(self) -> bool:
        if 0 <= self.max_burst_jobs <= self._claimed_count:
            return True
        return (await until_available(self.stream.counts, "burst")).outstanding == 0

    async def _claim(self, count: int) -> None:
        failed = False

        async def claim() -> list[Claimed]:
            nonlocal failed
            if failed:
                # The reply of a claim that failed may have been lost, with jobs in it.
                await self.stream.release_unknown(self.id, self._held())
            failed = True
            return await self.stream.claim(
                self.id, count, len(self._attempts), self._ready_ms, self.max_tries, self._attempts_of
            )

        for job in await until_available(claim, "claiming"):
            self._claimed_count += 1
            attempt = self._attempts[job.id] = Attempt(job)
            task = self.tasks[job.id] = self.loop.create_task(self._run(attempt))
            task.add_done_callback(partial(self._ended, job.id))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._attempts.pop(job_id, None)
        self.tasks.pop(job_id, None)
        self._work.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("job %s: recording its outcome failed", job_id, exc_info=error)

    # one job

    async def _run(self, attempt: Attempt) -> None:
        job = attempt.job
        function: Function | CronJob | None = self.functions.get(job.function)
        if function is None:
            self.jobs_failed += 1
            body = error_body("FunctionNotFound", f"function {job.function!r} not found")
            await self._record(attempt, Failed(body), self._keep_ms(None))
            return
        ctx = attempt.context(self.ctx)
        if self.on_job_start:
            await self.on_job_start(ctx)
        timeout_s = self.job_timeout_s if function.timeout_s is None else function.timeout_s
        outcome = await attempt.run(function, ctx, timeout_s, self.retry_jobs)
        if self.on_job_end:
            await self.on_job_end(ctx)
        await self._record(attempt, outcome, self._keep_ms(function))
        if self.after_job_end:
            await self.after_job_end(ctx)

    def _keep_ms(self, function: Function | CronJob | None) -> int:
        forever, keep_s = self.keep_result_forever, self.keep_result_s
        if function is not None:
            forever = forever if function.keep_result_forever is None else function.keep_result_forever
            keep_s = keep_s if function.keep_result_s is None else function.keep_result_s
        return -1 if forever else round((keep_s or 0) * 1000)

    async def _record(self, attempt: Attempt, outcome: Outcome, keep_ms: int) -> None:
        job = attempt.job
        allowed = self._attempts_of.get(job.function, self.max_tries)
        if isinstance(outcome, Again) and job.attempt >= allowed:
            outcome = Failed(outcome.error)
        match outcome:
            case Done(body):
                self.jobs_complete += 1
                await self._finish(Finish(job.id, job.attempt, "finished", body, keep_ms))
            case Failed(body):
                self.jobs_failed += 1
                await self._finish(Finish(job.id, job.attempt, "failed", body, keep_ms))
            case Again(defer_ms):
                self.jobs_retried += 1
                await until_available(
                    lambda: self.stream.defer(self.id, job.id, job.attempt, defer_ms), "deferring a retry"
                )
            case Stopped("shutdown"):
                self.jobs_retried += 1
                await self.stream.release(self.id, [(job.id, job.attempt)])
            case Stopped(reason):
                logger.info("job %s was stopped: %s", job.id, reason)

    async def _finish(self, finish: Finish) -> None:
        if not await self._finishes.submit(finish):
            logger.warning("job %s had left this worker before its attempt %d ended", finish.id, finish.attempt)

    async def _send_finishes(self, finishes: Sequence[Finish]) -> list[bool]:
        return await until_available(lambda: self.stream.finish(self.id, finishes), "finishing")

    def _held(self) -> list[tuple[str, int]]:
        return [(a.job.id, a.job.attempt) for a in self._attempts.values()]

    def _stop_job(self, job_id: str, reason: Any) -> None:
        if attempt := self._attempts.get(job_id):
            attempt.stop(reason)

    # side tasks

    async def _register(self, state: str) -> None:
        fields: dict[str, str | int] = {
            "state": state,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "concurrency": self.max_jobs,
            "starting_since": self._started_ms,
            "ready_since": self._ready_ms,
            "running": len(self._attempts),
            "job": next(iter(self._attempts), ""),
        }
        expiry_s = self.settings.lease_s / 3 * _HEARTBEATS_TO_EXPIRY
        await until_available(lambda: self.stream.register(self.id, expiry_s, fields), "registering")

    def _state(self) -> str:
        if self._stopping.is_set():
            return "stopping"
        if not self._ready_ms:
            return "starting"
        return "busy" if self._attempts else "idle"

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self.settings.lease_s / 3)
            held = self._held()
            lost = await until_available(lambda held=held: self.stream.renew(self.id, held), "renewing leases")  # type: ignore[misc]
            attempts = dict(held)
            for job_id in lost:
                # Not if it was claimed again, or finished, while the renewal was under way.
                current = self._attempts.get(job_id)
                if current is not None and current.job.attempt == attempts[job_id]:
                    self._stop_job(job_id, "lost")
            await self._register(self._state())
            await self.record_health()

    async def record_health(self) -> None:
        """Writes arq's health line, at most once in `health_check_interval`."""
        now_s = time.time()
        if now_s - self._last_health_check < self.health_check_interval:
            return
        self._last_health_check = now_s
        counts = await until_available(self.stream.counts, "health check")
        line = (
            f"{datetime.now():%b-%d %H:%M:%S} j_complete={self.jobs_complete} j_failed={self.jobs_failed} "
            f"j_retried={self.jobs_retried} j_ongoing={len(self._attempts)} queued={counts.waiting}"
        )
        await until_available(lambda: self.stream.health_check(self.health_check_interval + 1, line), "health check")

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(await until_available(self.stream.sweep, "sweeping"))
            # A wake-up is at most once; and in burst mode the end is looked for.
            if self.burst or self._free() == self.max_jobs:
                self._work.set()

    async def _keep_cron(self) -> None:
        if not self.cron_jobs:
            await asyncio.Event().wait()
        now = datetime.now(tz=self.timezone)
        for job in self.cron_jobs:
            if job.run_at_startup:
                job.next_run = now
            else:
                job.calculate_next(now)
        while True:
            job = min(self.cron_jobs, key=lambda job: job.next_run or now)
            due = job.next_run or now
            await asyncio.sleep(max(0.0, (due - datetime.now(tz=self.timezone)).total_seconds()))
            await self._push_cron(job, due)
            job.calculate_next(due)

    async def _push_cron(self, job: CronJob, due: datetime) -> None:
        # The key, not the id, makes it once: a cron job's record is usually gone as soon as it ends.
        key = f"cron:{job.name}:{round(due.timestamp() * 1000)}" if job.unique else ""
        new = NewJob(
            job.job_id or uuid.uuid4().hex, b"[]", function=job.name, idempotency_key=key, fingerprint=key and "cron"
        )
        await until_available(lambda: self.stream.push(new), "pushing a cron job")

    # the end

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Claims no more; what doesn't end within the grace time is handed back. A second signal: at once."""
        self._stop(Signals(signum))

    def handle_sig(self, signum: Signals) -> None:
        """Claims no more and hands back what runs."""
        self._hand_back.set()
        self._stop(Signals(signum))

    def _stop(self, signum: Signals) -> None:
        if self._stopping.is_set():
            self._hand_back.set()
        else:
            logger.info("stopping on %s: %d jobs running", signum.name, len(self._attempts))
        self.allow_pick_jobs = False
        self._stopping.set()
        self._work.set()
        if self.on_stop:
            self.on_stop(signum)

    async def _end_attempts(self) -> None:
        if self._attempts and self._stopping.is_set():
            await self._grace()
        for attempt in list(self._attempts.values()):
            attempt.stop("shutdown")
        tasks = list(self.tasks.values())
        if tasks:
            # The server may be away: then the leases run out instead.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self.settings.redis_timeout_s + 1):
                    await asyncio.wait(tasks)

    async def _grace(self) -> None:
        hand_back = asyncio.create_task(self._hand_back.wait())
        jobs = asyncio.gather(*list(self.tasks.values()), return_exceptions=True)
        both: tuple[asyncio.Future[Any], ...] = (hand_back, jobs)
        await asyncio.wait(both, timeout=self._job_completion_wait, return_when=asyncio.FIRST_COMPLETED)
        hand_back.cancel()
        # Not cancelled: that would cancel the jobs, which are told why by `stop`.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Leaves the group and closes the connections; calls `on_shutdown`."""
        try:
            if self.on_shutdown:
                await self.on_shutdown(self.ctx)
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2 * self.settings.redis_timeout_s):
                    await self.stream.leave(self.id)
            await self.stream.close()

    def set_capacity(self, capacity: int) -> None:
        """How many jobs may run at once from now on, at most `max_jobs`; 0 claims nothing."""
        self.capacity = capacity
        self._work.set()
