"""The spans of one worker: what its jobs waited for, their attempts, the calls of the model."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.context import attach
from opentelemetry.trace import SpanKind, set_span_in_context

from workers.model_host.errors import ModelAskedAgain, ModelRaised, ModelUnavailable
from workers.telemetry.tracebacks import name_of
from workers.telemetry.tracing import SYSTEM, context_of, set_error, traceparent_of
from workers.worker.attempt import Again, Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from workers.stream import Claimed, WorkerView
    from workers.telemetry.metrics import JobOutcome
    from workers.worker.attempt import Attempt, Outcome
    from workers.worker.session import Session


class Served(NamedTuple):
    """Since when some worker starts, and since when one is ready, in ms since the epoch; 0: none is."""

    starting_ms: int
    ready_ms: int

    def with_others(self, others: Iterable[WorkerView]) -> Served:
        """The earliest times of these and of other workers."""
        times = [self, *(Served(_ms(one, "starting_since"), _ms(one, "ready_since")) for one in others)]
        return Served(*(min(filter(None, column), default=0) for column in zip(*times, strict=True)))


def _ms(worker: WorkerView, field: str) -> int:
    text = worker.fields.get(field, "")
    return int(text) if text.isdigit() else 0


def waited_for(since_ms: int, until_ms: int, served: Served) -> dict[str, float]:
    """The seconds of a wait by what it was for; the sum is the whole wait.

    `no_worker`: until one started. `starting`: until one was ready. `busy`: then all had other jobs.
    Example: pushed at 0, a worker started at 10 s, was ready at 40 s and took the job at 41 s: 10, 30 and 1.
    """
    starts_ms = min(max(served.starting_ms, since_ms), until_ms)
    ready_ms = min(max(served.ready_ms, starts_ms), until_ms)
    spans_ms = {"no_worker": starts_ms - since_ms, "starting": ready_ms - starts_ms, "busy": until_ms - ready_ms}
    return {what: ms / 1000 for what, ms in spans_ms.items()}


class Spans:
    """Makes the spans of the jobs of one worker. Each attempt's span is its task's current one.

    A job that comes without a trace gets one here, if the sampler wants it.
    """

    def __init__(self, tracer: Tracer, session: Session) -> None:
        self._tracer = tracer
        self._session = session
        self._others: list[WorkerView] = []
        self._open: dict[str, Span] = {}  # by their traceparents

    async def look(self) -> None:
        """Notes which workers there are: some may have been there before this one."""
        session = self._session
        found = await session.outage.call(session.stream.workers, "looking for other workers")
        self._others = [one for one in found if one.id != session.id]

    def begin(self, attempt: Attempt) -> contextvars.Context:
        """Starts the attempt's span, which is the job's trace from now on, and returns the context for its task."""
        job = attempt.job
        parent = context_of(job.traceparent)
        if job.attempt == 1:
            self._tell_wait(job, parent)
        about = self._about(job) | {
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "leadtime.attempt": job.attempt,
        }
        queue = self._session.settings.queue_name
        span = self._tracer.start_span(f"process {queue}", parent, SpanKind.CONSUMER, about)
        own = traceparent_of(span)
        self._open[own] = span
        attempt.job = job._replace(options=job.options._replace(traceparent=own))
        task_context = contextvars.copy_context()
        task_context.run(attach, set_span_in_context(span))
        return task_context

    def ending(
        self, on_outcome: Callable[[Claimed, JobOutcome, Outcome], None]
    ) -> Callable[[Claimed, JobOutcome, Outcome], None]:
        """`on_outcome`, which ends the attempt's span, too."""

        def ended(job: Claimed, ended_as: JobOutcome, outcome: Outcome) -> None:
            self._end(job, ended_as, outcome)
            on_outcome(job, ended_as, outcome)

        return ended

    def abandon(self, job: Claimed) -> None:
        """Ends the span of an attempt of which nobody will hear."""
        if (span := self._open.pop(job.traceparent, None)) is not None:
            span.set_attribute("leadtime.outcome", "lost")
            span.end()

    def close(self) -> None:
        """Ends what is open."""
        while self._open:
            _, span = self._open.popitem()
            span.set_attribute("leadtime.outcome", "lost")
            span.end()

    def around_model(self, run: Callable[..., Awaitable[bytes]]) -> Callable[..., Awaitable[bytes]]:
        """`run`, the call of the model, in a span of its own: the model gets that one as its job's trace."""

        async def traced(*args: Any, job: Any) -> bytes:
            with self._tracer.start_as_current_span(
                "predict", record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    return await run(*args, job=job._replace(traceparent=traceparent_of(span)))
                except (ModelAskedAgain, ModelUnavailable, asyncio.CancelledError):
                    raise
                except Exception as error:
                    set_error(span, error.type if isinstance(error, ModelRaised) else name_of(error))
                    raise

        return traced

    def _about(self, job: Claimed) -> dict[str, str | int]:
        return {
            "messaging.system": SYSTEM,
            "messaging.destination.name": self._session.settings.queue_name,
            "messaging.message.id": job.id,
            "messaging.client.id": self._session.id,
            "leadtime.function": job.function,
        }

    def _tell_wait(self, job: Claimed, parent: Context) -> None:
        now_ns = time.time_ns()
        now_ms = now_ns // 1_000_000
        # An entry's id begins with the time at which it was appended: a deferred job's is when it was due.
        since_ms = min(int(job.entry.partition("-")[0]), now_ms)
        life = self._session.life
        served = Served(life.starting_since_ms, life.ready_since_ms).with_others(self._others)
        waits_s = waited_for(since_ms, now_ms, served)
        about: dict[str, str | int | float] = {
            **self._about(job),
            # The last of those that took as long: a job that was taken at once waited for no worker to come.
            "leadtime.wait.for": max(reversed(waits_s), key=waits_s.__getitem__),
            **{f"leadtime.wait.{what}_s": seconds for what, seconds in waits_s.items() if seconds},
        }
        queue = self._session.settings.queue_name
        span = self._tracer.start_span(f"wait {queue}", parent, attributes=about, start_time=since_ms * 1_000_000)
        span.end(now_ns)

    def _end(self, job: Claimed, ended_as: JobOutcome, outcome: Outcome) -> None:
        if (span := self._open.pop(job.traceparent, None)) is None:
            return
        span.set_attribute("leadtime.outcome", ended_as)
        error = outcome.error if isinstance(outcome, Again) else outcome
        if isinstance(error, Failed):
            set_error(span, error.type)
        span.end()
