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
from signal import SIGTERM, Signals
from typing import TYPE_CHECKING, Any

from arq import worker as arq_worker

from workers.arq.client import connect_client, failed_result
from workers.arq.cron import Schedule
from workers.settings import WorkerSettings
from workers.stream.ending import end
from workers.stream.outage import Link
from workers.telemetry.metrics import Metrics
from workers.worker.heartbeat import Health, Heartbeat
from workers.worker.probe import Probe
from workers.worker.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from workers.stream import Claimed, Stream
    from workers.worker.attempt import Failed

logger = logging.getLogger(__name__)

# One claim fills up to this many free places; of more, half: those run while the rest is claimed.
_WHOLE_CLAIM = 16


class Worker(arq_worker.Worker):
    """Claims, runs and acknowledges jobs of one queue.

    Takes what `arq.Worker` takes, and `settings`, which say where the stream is and how long a lease lasts.
    `redis_settings`, `redis_pool`, `poll_delay`, `queue_read_limit`, the serializers, `expires_extra_ms`,
    `log_results` and `allow_abort_jobs` (every job can be cancelled) have no effect.
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
        client = connect_client(self.settings)
        self.stream: Stream = client.stream
        self._pool = client
        if kwargs.get("health_check_key") is None:
            self.health_check_key = f"{self.stream.prefix}:health-check"
        self.capacity = self.max_jobs
        self.ready = asyncio.Event()
        self.changed = asyncio.Event()
        self.starting_since_ms = _now_ms()
        self.ready_since_ms = 0
        self.link = Link(self.changed.set)
        self.heartbeat = Heartbeat(self)
        self.metrics = Metrics()
        self._health = Health(self, kwargs.get("health_check_key"))
        self._work = asyncio.Event()
        self.runner = Runner(self, self._work.set)
        self._stopping = asyncio.Event()
        self._hand_back = asyncio.Event()
        self._side: list[asyncio.Task[None]] = []
        self._watched = asyncio.Event()
        self._claimed_count = 0
        self._claimed_s = 0.0
        self._claiming = False
        self._may_be_woken = False
        self._claims_are_known = True
        self._messages_are_known = True
        self._handed_back: set[str] = set()
        self._attempts_of = {name: f.max_tries for name, f in self.functions.items() if f.max_tries is not None}

    @property
    def is_ready(self) -> bool:
        """Whether it claims jobs: started, its model loaded, the server there, and not told to stop."""
        return self.ready.is_set() and self.capacity > 0 and self.allow_pick_jobs and self.link.available

    @property
    def takes_jobs(self) -> bool:
        """Whether a push may hand it a job: that asks neither how many more are wanted, nor for a first attempt."""
        return not self.burst and min([self.max_tries, *self._attempts_of.values()]) > 0

    @property
    def state(self) -> str:
        """What the registration says: starting, idle, busy or stopping."""
        if self._stopping.is_set():
            return "stopping"
        if self.runner.running:
            return "busy"
        return "idle" if self.ready_since_ms else "starting"

    # life

    async def main(self) -> None:
        """Runs until a signal or, in burst mode, until no job is left. A dead side task ends it with its error.

        Raises ProbeFailed if the probes can't be served, and what `on_startup` raises.
        """
        probe = Probe(self)
        await probe.open()
        self.ctx["redis"] = self._pool
        self.ctx["stream"] = self.stream
        self.ctx["worker"] = self
        subscription = self.stream.wakeups(
            self.id,
            self._work.set,
            lambda job_id: self.runner.stop(job_id, "cancelled"),
            self._take,
            self._messages_were_missed,
        )
        for coroutine, name in (
            (probe.run(), "probe"),
            (self.heartbeat.run(), "heartbeat"),
            (self._health.run(), "health check"),
            (subscription.run(), "subscription"),
            (self._keep_sweeping(), "sweep"),
            (Schedule(self.cron_jobs, self.stream, self.link, self.timezone).run(), "cron"),
        ):
            self.watch(coroutine, name)
        try:
            await self._until_stopped(asyncio.create_task(self._main_work(), name="work"))
            await self._grace()
        finally:
            self.ready.clear()
            self.changed.set()
            await self._end_attempts()
            await end(*self._side)

    async def run_check(self, retry_jobs: bool | None = None, max_burst_jobs: int | None = None) -> int:
        """Runs, and returns how many jobs finished. Raises arq's FailedJobs if any failed, with their errors."""
        self.retry_jobs = self.retry_jobs if retry_jobs is None else retry_jobs
        self.max_burst_jobs = self.max_burst_jobs if max_burst_jobs is None else max_burst_jobs
        failures: list[tuple[Claimed, Failed]] = []
        self.runner.on_failed = lambda job, error: failures.append((job, error))
        await self.async_run()
        if self.jobs_failed:
            results = [failed_result(self.queue_name, job, error.type, error.message) for job, error in failures]
            raise arq_worker.FailedJobs(self.jobs_failed, results)
        return self.jobs_complete

    def watch(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Runs a side task for as long as the worker runs; if it ends, the worker stops with its error."""
        self._side.append(asyncio.create_task(coroutine, name=name))
        self._watched.set()

    async def _first_of(self, *tasks: asyncio.Task[Any], timeout_s: float | None = None) -> None:
        """Returns when one of the tasks is done, or after a time. Raises if a side task ends first."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not any(task.done() for task in tasks):
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            # `watch` may add to the side tasks while this waits.
            self._watched.clear()
            changed = asyncio.create_task(self._watched.wait())
            await asyncio.wait([*tasks, changed, *self._side], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            for task in self._side:
                if task.done():
                    task.result()
                    raise RuntimeError(f"the worker's {task.get_name()} task ended")

    async def _until_stopped(self, work: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await self._first_of(work, stopping)
            if self._claiming and self.link.available:
                # Better to hear what it brings than to leave jobs with nobody.
                await asyncio.wait([work], timeout=2 * self.settings.redis_timeout_s)
        finally:
            await end(stopping, work)
        if not work.cancelled():
            work.result()

    async def _main_work(self) -> None:
        await self.link.call(self.stream.open, "opening the stream")
        await self.heartbeat.register()
        if self.on_startup:
            await self.on_startup(self.ctx)
        self.ready_since_ms = _now_ms()
        await self.heartbeat.register()
        self.ready.set()
        self.changed.set()
        logger.info("ready: %s", ", ".join(self.functions))
        await self._claim_loop()

    def set_capacity(self, capacity: int) -> None:
        """How many jobs may run at once from now on, at most `max_jobs`; 0 claims nothing."""
        if self.ready.is_set() and bool(capacity) != bool(self.capacity):
            # Without a model it is as a worker that starts.
            self.ready_since_ms = _now_ms() if capacity else 0
            self.starting_since_ms = self.starting_since_ms if capacity else _now_ms()
            self.heartbeat.hasten()
        self.capacity = capacity
        self._work.set()
        self.changed.set()

    # claiming

    async def _claim_loop(self) -> None:
        while not self._stopping.is_set():
            self._work.clear()
            free = self._free()
            if free > 0:
                await self._claim(min(free, max(_WHOLE_CLAIM, self.max_jobs // 2)))
            elif self._may_be_woken:
                # A wake-up is another worker's then; such a claim only says that there is no room.
                await self._claim(0)
            if self.burst and not self.runner.held and await self._is_drained():
                return
            await self._work.wait()

    def _free(self) -> int:
        free = min(self.capacity, self.max_jobs) - self.runner.running
        if self.burst and self.max_burst_jobs >= 0:
            free = min(free, self.max_burst_jobs - self._claimed_count)
        return free if self.allow_pick_jobs else 0

    async def _is_drained(self) -> bool:
        if 0 <= self.max_burst_jobs <= self._claimed_count:
            return True
        return (await self.link.call(self.stream.counts, "burst")).outstanding == 0

    def _take(self, job: Claimed) -> None:
        """Runs a job that a push has claimed for this worker, and looks for more."""
        self._may_be_woken = False
        if job.entry in self._handed_back:
            self._handed_back.remove(job.entry)
        elif self._free() > 0:
            self.runner.start(job)
        else:
            self.runner.refuse(job)
        self._work.set()

    def _messages_were_missed(self) -> None:
        self._messages_are_known = False
        self._work.set()

    async def _release_unknown(self) -> None:
        """Hands back what this worker may hold without having heard of it: a claim's reply, or a message, was lost."""
        if self._claims_are_known and self._messages_are_known:
            return
        self._claims_are_known, self._messages_are_known = False, True
        for entry in await self.stream.release_unknown(self.id, self.runner.held):
            # A message that was not lost may have arrived meanwhile, or is still to come.
            if not self.runner.lose(entry):
                self._handed_back.add(entry)

    async def _claim(self, count: int) -> None:
        async def claim() -> list[Claimed]:
            await self._release_unknown()
            self._claims_are_known = False
            running, ready_ms = self.runner.running, self.ready_since_ms
            claimed = await self.stream.claim(self.id, count, running, ready_ms, self.max_tries, self._attempts_of)
            self._claims_are_known = True
            return claimed

        self._claiming = True
        try:
            jobs = await self.link.call(claim, "claiming")
            if self._stopping.is_set() and jobs:
                held = [(job.id, job.attempt) for job in jobs]
                await self.link.call(lambda: self.stream.release(self.id, held), "handing jobs back")
                return
        finally:
            self._claiming = False
        self._claimed_s = time.monotonic()
        # Fewer than were asked for if one has been handed over meanwhile.
        room = max(0, self._free())
        for job in jobs[:room]:
            self.runner.start(job)
        for job in jobs[room:]:
            self.runner.refuse(job)
        self._claimed_count += len(jobs)
        self._may_be_woken = len(jobs) < count
        if count and not self._may_be_woken:
            self._work.set()

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(await self.link.call(self.stream.sweep, "sweeping"))
            # In burst mode the end is looked for; otherwise this is for a wake-up that got lost.
            if self.burst or time.monotonic() - self._claimed_s > self.heartbeat.interval_s:
                self._work.set()

    async def record_health(self) -> None:
        """Writes arq's health line."""
        await self._health.record()

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
            logger.info("stopping on %s: %d jobs running", signum.name, self.runner.running)
        self.allow_pick_jobs = False
        self._stopping.set()
        self._work.set()
        self.changed.set()
        self.heartbeat.hasten()
        if self.on_stop:
            self.on_stop(signum)

    async def _grace(self) -> None:
        await self._withdraw()
        hand_back = asyncio.create_task(self._hand_back.wait())
        empty = asyncio.create_task(self.runner.until_empty())
        try:
            await self._first_of(hand_back, empty, timeout_s=self._job_completion_wait)
        finally:
            hand_back.cancel()
            empty.cancel()

    async def _withdraw(self) -> None:
        """Hands back what a claim may have brought that nobody heard of, and asks not to be woken."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2 * self.settings.redis_timeout_s):
                await self._release_unknown()
                if self._may_be_woken and self.runner.running:
                    await self.stream.claim(self.id, 0, self.runner.running)

    async def _end_attempts(self) -> None:
        self.runner.stop_all("shutdown")
        # The server may be away: then the leases run out instead.
        try:
            async with asyncio.timeout(2 * self.settings.redis_timeout_s + 1):
                await self.runner.until_empty()
        except TimeoutError:
            logger.warning("%d jobs could not be handed back: their leases will run out", len(self.runner.held))
        await self.runner.close()

    async def close(self) -> None:
        """Stops what runs, calls `on_shutdown`, leaves the group and closes the connections."""
        main = self.main_task
        if main is not None and not main.done() and main is not asyncio.current_task():
            self.handle_sig(SIGTERM)
            await asyncio.wait([main])
        try:
            if self.on_shutdown:
                await self.on_shutdown(self.ctx)
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2 * self.settings.redis_timeout_s):
                    await self.stream.leave(self.id)
                    await self._health.remove()
            await self.stream.close()


def _now_ms() -> int:
    return round(time.time() * 1000)
