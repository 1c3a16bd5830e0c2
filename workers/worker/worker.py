"""An arq worker whose transport is the job stream.

What arq's `Worker` takes holds here: functions, hooks, `ctx`, timeouts, `Retry`, burst mode, cron jobs.
What it does with Redis is replaced: jobs are claimed from a consumer group under leases, a blocked worker
is woken instead of polling, and nothing is pickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import socket
import uuid
from signal import SIGUSR1, Signals
from typing import TYPE_CHECKING, Any

import orjson
from arq import worker as arq_worker

from workers.arq.arguments import settings_of
from workers.arq.client import connect_client
from workers.arq.cron import Schedule
from workers.arq.job import JobFailed, failed_result
from workers.settings import WorkerSettings
from workers.stream import LIBRARY, Outage, end
from workers.telemetry.metrics import WorkerMetrics
from workers.telemetry.registry import histogram_class
from workers.worker.ahead import Ahead
from workers.worker.attempt import Failed
from workers.worker.beside.health import Health
from workers.worker.beside.heartbeat import Heartbeat
from workers.worker.beside.probe import Probe
from workers.worker.beside.side_tasks import SideTasks
from workers.worker.claims import Claims, ClaimTerms
from workers.worker.events import Events
from workers.worker.finishes import Finishes
from workers.worker.foreign import ForeignJobs, not_found
from workers.worker.functions import Functions
from workers.worker.life import Life, WorkerState
from workers.worker.runner import Runner
from workers.worker.schema import ModelSchema
from workers.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from opentelemetry.trace import Tracer

    from workers.stream import Claimed, Stream
    from workers.telemetry.metrics import JobOutcome
    from workers.worker.ahead import BringsFiles
    from workers.worker.attempt import Outcome
    from workers.worker.spans import Spans

logger = logging.getLogger(__name__)


def _signature() -> inspect.Signature:
    arqs = inspect.signature(arq_worker.Worker)
    own = (inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ("settings", "tracer"))
    return arqs.replace(parameters=[*arqs.parameters.values(), *own])


class Worker(arq_worker.Worker):
    """Claims, runs and acknowledges jobs of one queue.

    Takes what `arq.Worker` takes, and `settings`, which say where the stream is and how long a lease lasts. With a
    `tracer` of OpenTelemetry its jobs have spans.
    `queue_name`, `redis_settings` and `redis_pool` go before them. What can't be honoured raises BadArgument, and
    what has no effect is told in the log (`workers.arq.arguments`).
    """

    __signature__ = _signature()  # what arq's `create_worker` takes from a class of settings

    def __init__(
        self,
        functions: Sequence[Any] = (),
        *,
        settings: WorkerSettings | None = None,
        tracer: Tracer | None = None,
        **kwargs: Any,
    ) -> None:
        self.settings = settings_of(settings or WorkerSettings(), kwargs)
        kwargs.setdefault("max_tries", self.settings.max_attempts)
        kwargs.setdefault("job_timeout", self.settings.job_timeout_s)
        kwargs.setdefault("keep_result", self.settings.keep_result_s)
        kwargs.setdefault("job_completion_wait", self.settings.grace_s)
        super().__init__(functions, queue_name=self.settings.queue_name, **kwargs)
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.metrics = WorkerMetrics(histogram_class(tracer is not None))
        self._tracer = tracer
        self._failures: list[tuple[Claimed, BaseException]] | None = None
        self._users_health_check_key: str | None = kwargs.get("health_check_key")
        self._function_names = orjson.dumps(list(self.functions)).decode()
        self._side = SideTasks()
        self._schema = ModelSchema()
        self._connect()
        self._assemble()

    def _connect(self) -> None:
        self._closed = False
        self._pool = connect_client(self.settings)
        self.stream: Stream = self._pool.stream
        self.health_check_key = self._users_health_check_key or self.stream.health_key

    def _assemble(self) -> None:
        """Makes the parts of one life."""
        self.allow_pick_jobs = True
        self.life = Life(self.max_jobs)
        self.outage = Outage(self.life.changed.set)
        self.session = Session(self.id, self.stream, self.outage, self.metrics, self.settings, self.life)
        self.spans = self._new_spans()
        self.ready = asyncio.Event()
        self._hand_back = asyncio.Event()
        self._functions = Functions.of(self)
        foreign = ForeignJobs(self.session)
        self.events = Events(self.session)
        finishes = Finishes(self.session, lambda: (self.claims, self.ahead))
        self.runner = Runner(
            self.session,
            self._functions,
            finishes,
            foreign,
            self.events,
            self.tasks,
            self._on_end,
            self._on_slot_free,
            self._on_empty,
            self._on_outcome,
            self.spans,
        )
        self.ahead = Ahead(self.session, self.runner, self.events, self._on_lost)
        terms = ClaimTerms(self.max_jobs, self._functions.attempts_of)
        self.claims = Claims(self.session, self.runner, self.ahead, terms, finishes.claim_waits_s)
        self.claims.burst = foreign.burst = self.burst
        self.heartbeat = Heartbeat(
            self.session,
            self._registration,
            self.ahead.registered,
            self._on_lost,
            lambda: self._schema,
            self.claims.registered,
        )
        self._health = Health(self.session, self.health_check_interval, self._users_health_check_key)

    def _new_spans(self) -> Spans | None:
        if self._tracer is None:
            return None
        from workers.worker.spans import Spans

        return Spans(self._tracer, self.session)

    # what its parts tell it

    def _on_end(self, job: Claimed, took_s: float | None) -> bool:
        if took_s is not None:
            return self.ahead.ran(job, took_s, self.claims.room)
        if self.ahead:
            self.ahead.hand_back()
        return False

    def _on_slot_free(self) -> None:
        self.claims.slot_is_free()

    def _on_cancel(self, job_id: str) -> None:
        self.ahead.drop(job_id)
        self.runner.stop(job_id, "cancelled")

    def _on_empty(self) -> None:
        # It may be the queue's last job. A worker that waits for others has asked for them when its slot was free.
        if self.claims.burst:
            self.claims.wake()

    def _on_lost(self, job_id: str, attempt: int) -> None:
        self.runner.stop(job_id, "lost", attempt)

    def _on_outcome(self, job: Claimed, ended_as: JobOutcome, outcome: Outcome) -> None:
        """Keeps arq's counters."""
        match ended_as:
            case "finished":
                self.jobs_complete += 1
            case "failed":
                self.jobs_failed += 1
                if isinstance(outcome, Failed):
                    self._remember(job, outcome)
            case "cancelled":  # arq counts these too
                self.jobs_failed += 1
                self._remember(job, Failed("CancelledError", "", asyncio.CancelledError()))
            case "retried" | "released":
                self.jobs_retried += 1

    def _remember(self, job: Claimed, error: Failed) -> None:
        if self._failures is not None:
            self._failures.append((job, error.raised or JobFailed(f"{error.type}: {error.message}")))

    def _registration(self) -> dict[str, str | int]:
        life, served = self.life, self.metrics.served
        return {
            "state": life.registered_state,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "concurrency": self.max_jobs,
            "starting_since": life.starting_since_ms,
            "ready_since": life.ready_since_ms,
            "running": life.running,
            "job": self.runner.job_at_hand,
            "functions": self._function_names,
            "takes": LIBRARY if self.claims.takes_jobs else "",
            "served": served.count,
            "served_s": served.text(),
            "schema": self._schema.digest,
        }

    def set_capacity(self, capacity: int) -> None:
        """How many jobs may run at once from now on, at most `max_jobs`; 0 claims nothing."""
        self.life.set_capacity(capacity)
        self.claims.wake()

    def set_slots(self, slots: int, claimed_together: int) -> None:
        """How many jobs may run at once at most (`max_jobs`), and of how many a multiple is claimed at once."""
        self.max_jobs = slots
        self.claims.set_slots(slots, claimed_together)
        self.ahead.together = claimed_together

    def set_files_ahead(self, files: BringsFiles) -> None:
        """Has the worker hold the next job ahead while its files are brought."""
        self.ahead.files = files

    def set_timeout(self, function: str, timeout_s: float) -> None:
        """How long the jobs of a function may take from now on."""
        self._functions.plans[function] = self._functions.plans[function]._replace(timeout_s=timeout_s)

    def leave_timeouts_to(self, function: str) -> None:
        """The function ends by its job's own timeout itself."""
        self._functions.plans[function] = self._functions.plans[function]._replace(times_itself=True)

    def set_schema(self, text: bytes) -> None:
        """The schema (JSON) of the model, which the gateways are told; empty if it takes any JSON."""
        if text != self._schema.text or not self._schema.digest:
            self._schema = ModelSchema(text)
            self.life.news.set()

    def watch(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Runs a side task for as long as the worker runs; if it ends, the worker stops with its error."""
        self._side.watch(coroutine, name)

    # life

    async def main(self) -> None:
        """Runs until a signal or, in burst mode, until no job is left. A dead side task ends it with its error.

        May be called again, also after `close`.
        Raises ProbeFailed if the probes can't be served, and what `on_startup` raises.
        """
        if self._closed:
            self._connect()
        if self.life.state is WorkerState.STOPPED or self.session.stream is not self.stream:
            self._side = SideTasks()
            self._assemble()
        probe = Probe(self.session, self.heartbeat, self._loaded_models)
        await probe.open()
        self.ctx.update(redis=self._pool, stream=self.stream, worker=self)
        # `run_check` or the user may have changed them.
        self._functions.retry_jobs = self.retry_jobs
        self.claims.burst = self.runner.foreign.burst = self.burst
        self.claims.most_jobs = self.max_burst_jobs if self.burst and self.max_burst_jobs >= 0 else None
        self.ahead.is_off |= not self.claims.takes_jobs
        subscription = self.stream.wakeups(
            self.id,
            self.claims.wake,
            self._on_cancel,
            self.claims.take,
            self.claims.messages_were_missed,
            self.ahead.hand_back,
            self.claims.hold,
        )
        for coroutine, name in (
            (probe.run(), "probe"),
            (self.heartbeat.run(), "heartbeat"),
            (self._health.run(), "health check"),
            (subscription.run(), "subscription"),
            (self.claims.keep_sweeping(), "sweep"),
            (Schedule(self.cron_jobs, self.stream, self.outage, self.timezone).run(), "cron"),
        ):
            self.watch(coroutine, name)
        try:
            await self._until_stopped(asyncio.create_task(self._work(), name="work"))
            await self._grace()
        finally:
            self.ready.clear()
            self.life.end()
            await self._end_attempts()
            await self._side.end()

    def _loaded_models(self) -> int:
        return int(getattr(self.ctx.get("model"), "count", 0))

    def run(self) -> None:
        """arq's `run`: `main`, then `close`. What a task that a function has left raises does not end it."""
        self.main_task = self.loop.create_task(self.main())
        try:
            while not self.main_task.done():
                self._run_on(self.main_task)
        finally:
            self.loop.run_until_complete(self.close())

    def _run_on(self, main: asyncio.Task[None]) -> None:
        try:
            self.loop.run_until_complete(main)
        except asyncio.CancelledError:
            pass
        except SystemExit:
            if main.done():
                raise
            logger.exception("a task that a function has left called sys.exit")

    async def _work(self) -> None:
        """Starts, then claims jobs."""
        await self.outage.call(self.stream.open, "opening the stream")
        await self.heartbeat.register()
        if self.on_startup:
            await self.on_startup(self.ctx)
        self.life.start()
        await self.heartbeat.register()
        if self.spans is not None:
            await self.spans.look()
        self.ready.set()
        logger.info("ready: %s", ", ".join(self.functions))
        await self.claims.run()

    async def _until_stopped(self, work: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self.life.stopping.wait())
        try:
            await self._side.first_of(work, stopping)
            await self.claims.settle(work)
        finally:
            await end(stopping, work)
        if not work.cancelled():
            work.result()

    async def run_check(self, retry_jobs: bool | None = None, max_burst_jobs: int | None = None) -> int:
        """Runs, and returns how many jobs finished.

        Raises arq's FailedJobs if any failed, or was left because its function is not known here; with their errors.
        """
        self.retry_jobs = self.retry_jobs if retry_jobs is None else retry_jobs
        self.max_burst_jobs = self.max_burst_jobs if max_burst_jobs is None else max_burst_jobs
        failures = self._failures = self._failures or []
        await self.async_run()
        for job in self.runner.foreign.left.values():
            self._remember(job, not_found(job.function))
        if self.jobs_failed or failures:
            results = [failed_result(self.queue_name, job, error) for job, error in failures]
            raise arq_worker.FailedJobs(max(self.jobs_failed, len(results)), results)
        return self.jobs_complete

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
        if self.life.stopping.is_set():
            self._hand_back.set()
        else:
            logger.info("stopping on %s: %d jobs running", signum.name, self.life.running)
        self.allow_pick_jobs = False
        self.life.stop()
        self.claims.wake()
        if self.on_stop:
            self.on_stop(signum)

    async def _grace(self) -> None:
        await self.claims.withdraw()
        hand_back = asyncio.create_task(self._hand_back.wait())
        empty = asyncio.create_task(self.runner.until_empty())
        try:
            await self._side.first_of(hand_back, empty, timeout_s=self._job_completion_wait)
        finally:
            hand_back.cancel()
            empty.cancel()

    async def _end_attempts(self) -> None:
        self.runner.stop_all("shutdown")
        # The server may be away: then the leases run out instead.
        try:
            async with asyncio.timeout(2 * self.settings.redis_timeout_s + 1):
                await self.runner.until_empty()
        except TimeoutError:
            logger.warning("%d jobs could not be handed back: their leases will run out", len(self.runner.held()))
        await self.ahead.close()
        await self.runner.close()

    async def close(self) -> None:
        """Stops what runs, calls `on_shutdown`, leaves the group and closes the connections; again: no effect."""
        if self._closed:
            return
        self._closed = True
        main = self.main_task
        if main is not None and not main.done() and main is not asyncio.current_task():
            self.handle_sig(SIGUSR1)  # arq's: it is no signal
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
