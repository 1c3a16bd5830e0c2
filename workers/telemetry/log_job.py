"""The job that a line of the log is about."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import logging


class LoggedJob(Protocol):
    """A job in one of its attempts."""

    @property
    def id(self) -> str:
        """The job's id."""

    @property
    def attempt(self) -> int:
        """From 1."""

    @property
    def traceparent(self) -> str:
        """The trace that its push was part of (W3C Trace Context); empty without one."""


class LineJob(NamedTuple):
    """What a line says of its job; `attempt` is 0 if it is of none in particular."""

    id: str
    attempt: int
    queue: str
    trace: str = ""
    """The id of the trace; empty without one."""


_current: ContextVar[LoggedJob | None] = ContextVar("logged_job", default=None)

log_as = _current.set
"""Has all lines of this task, and of those that it starts, be about a job."""


def trace_id(traceparent: str) -> str:
    """The trace's id in a traceparent; empty without one."""
    return traceparent[3:35]


def line_job(job: LoggedJob, queue: str) -> LineJob:
    """What a line says of a job that is of this queue."""
    return LineJob(job.id, job.attempt, queue, trace_id(job.traceparent))


def about(job_id: str, attempt: int = 0, queue: str = "") -> dict[str, Any]:
    """The `extra` of a line that is about a job, where no task is."""
    return {"job": LineJob(job_id, attempt, queue)}


def job_of(record: logging.LogRecord, queue: str) -> LineJob | None:
    """The job of a line, of its `extra` or of the task that writes it; `queue` if the line names none."""
    own: LineJob | None = getattr(record, "job", None)
    if isinstance(own, LineJob):
        return own._replace(queue=own.queue or queue)
    if (job := _current.get()) is not None:
        return line_job(job, queue)
    return None
