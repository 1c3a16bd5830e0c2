"""What a worker can run: arq's functions and cron jobs, with what holds for their jobs, and arq's hooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arq.cron import CronJob
    from arq.worker import Function
    from arq.worker import Worker as ArqWorker

    from workers.stream import JobOptions

    Hook: TypeAlias = Callable[[dict[Any, Any]], Awaitable[None]]


class Plan(NamedTuple):
    """A function and what holds for its jobs; `keep_ms` as in `Finish`."""

    function: Function | CronJob
    timeout_s: float | None
    keep_ms: int
    max_attempts: int
    times_itself: bool = False
    """Whether the function ends by its job's own timeout, of which it is told (`timeout_s` in its context)."""

    def timeout_of(self, options: JobOptions) -> float | None:
        """How many seconds an attempt of a job with these options may take; they can only make it shorter."""
        if options.timeout_s is None or self.times_itself:
            return self.timeout_s
        return options.timeout_s if self.timeout_s is None else min(options.timeout_s, self.timeout_s)


@dataclass(slots=True)
class Functions:
    """All that a worker can run, and what is run around each job."""

    plans: dict[str, Plan]
    """By the function's name."""
    ctx: dict[Any, Any]
    """arq's `ctx`: one for all jobs, to which each job's own members are added."""
    retry_jobs: bool
    """Whether a job that asks for another attempt, or whose model crashed, gets one."""
    hook_timeout_s: float
    """How long `on_job_end` and `after_job_end` may take."""
    on_job_start: Hook | None = None
    on_job_end: Hook | None = None
    after_job_end: Hook | None = None

    @classmethod
    def of(cls, worker: ArqWorker) -> Functions:
        """What arq's constructor made of its arguments."""
        plans = {name: _plan(worker, function) for name, function in worker.functions.items()}
        return cls(
            plans,
            worker.ctx,
            worker.retry_jobs,
            worker.job_timeout_s,
            worker.on_job_start,
            worker.on_job_end,
            worker.after_job_end,
        )

    @property
    def attempts_of(self) -> dict[str, int]:
        """How many attempts a job has, by its function."""
        return {name: plan.max_attempts for name, plan in self.plans.items()}

    @property
    def has_end_hook(self) -> bool:
        """Whether something is to be called when a job has ended."""
        return self.on_job_end is not None or self.after_job_end is not None


def _plan(worker: ArqWorker, function: Function | CronJob) -> Plan:
    timeout_s = worker.job_timeout_s if function.timeout_s is None else function.timeout_s
    max_attempts = worker.max_tries if function.max_tries is None else function.max_tries
    return Plan(function, timeout_s, _keep_ms(worker, function), max_attempts)


def _keep_ms(worker: ArqWorker, function: Function | CronJob) -> int:
    forever = worker.keep_result_forever if function.keep_result_forever is None else function.keep_result_forever
    keep_s = worker.keep_result_s if function.keep_result_s is None else function.keep_result_s
    return -1 if forever else round((keep_s or 0) * 1000)
