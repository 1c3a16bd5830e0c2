"""What a model can ask and tell while it runs a job."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Token

    from workers.telemetry.log_job import LoggedJob

MAX_TEXT_CHARS = 2000  # of one log line, and of what is said beside a progress; more is cut off

PROGRESS = "progress"
LOG = "log"


class Cancelled(BaseException):
    """Raised by `raise_if_cancelled`. No `except Exception` stops it."""


class JobTerms(NamedTuple):
    """What a job is told of itself, as `Job` has it; whether anybody hears what it tells; and its folder for files.

    The folder is made by whoever needs it. It is empty if there is no place for files.
    """

    id: str
    attempt: int
    deadline: float | None
    is_heard: bool
    folder: str = ""
    traceparent: str = ""


class JobLink(Protocol):
    """The way from a model's job to its worker."""

    def terms(self) -> JobTerms:
        """What the worker has said of the job."""

    def tell(self, kind: str, value: bytes) -> None:
        """Sends an event: its kind, and its value as JSON. No effect once the job has been answered."""

    def is_cancelled(self) -> bool:
        """Whether the worker wants the job to stop."""


class Job:
    """The job that `predict` runs: a parameter of `predict` that is annotated `Job`, or `current()`.

    `id` and `attempt` (from 1) are those of its status document. At `deadline` (seconds since the epoch, as
    `time.time()` has them; None if there is none) the job is stopped, and tried again if it has attempts left.

    Its methods may be called from any thread. They have no effect once the job has been answered.
    """

    def __init__(self, link: JobLink) -> None:
        self._link = link

    @property
    def id(self) -> str:
        """The job's id."""
        return self._link.terms().id

    @property
    def attempt(self) -> int:
        """How often the job has been started, this attempt included."""
        return self._link.terms().attempt

    @property
    def traceparent(self) -> str:
        """The trace that the push was part of (W3C Trace Context), for requests of the model; empty without one."""
        return self._link.terms().traceparent

    @property
    def deadline(self) -> float | None:
        """Seconds since the epoch at which the attempt is stopped."""
        return self._link.terms().deadline

    @property
    def folder(self) -> str:
        """The folder in which the job's files are, while it runs; empty without an object store. It may not exist."""
        return self._link.terms().folder

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, attempt={self.attempt}, deadline={self.deadline})"

    def progress(self, fraction: float, text: str = "") -> None:
        """Tells how much is done, from 0 to 1 (what is beyond counts as the nearest), and in words what is being done.

        If several are told at once, only the last of them is sent on. Raises ValueError for NaN.
        """
        if math.isnan(fraction):
            raise ValueError("a progress is a number from 0 to 1, not NaN")
        self._link.tell(PROGRESS, orjson.dumps({"fraction": min(max(float(fraction), 0.0), 1.0), "text": _cut(text)}))

    def log(self, text: object) -> None:
        """Keeps a line with the job, for whoever may see its result."""
        self._link.tell(LOG, orjson.dumps(_cut(text)))

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop: its client has cancelled it, it takes too long, or its worker ends.

        Who asks has a second to end by itself, by returning or raising: its process then lives on. Costs a few µs.
        """
        return self._link.is_cancelled()

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled if the job is to stop."""
        if self.cancelled:
            raise Cancelled("the job was cancelled")


_current: ContextVar[Job] = ContextVar("job")


def current() -> Job:
    """The job that is run here. Raises RuntimeError if there is none: in threads, in `predict_batch`."""
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError(
            "no job is run here: hand the job of predict to your threads, and note that predict_batch has several"
        ) from None


def set_current(job: Job) -> Token[Job]:
    """Has `current` return the job, until the token is reset. For the model's process."""
    return _current.set(job)


def _none() -> Sequence[LoggedJob]:
    return ()


class _OfProcess:
    """What this process runs, or has run last."""

    jobs: Callable[[], Sequence[LoggedJob]] = staticmethod(_none)


def set_alone(job: Job) -> None:
    """Says that this process runs one job. For the model's process."""
    _OfProcess.jobs = lambda: (job,)


def set_together(jobs: Callable[[], Sequence[LoggedJob]]) -> None:
    """Says that this process runs several jobs in one call. For the model's process."""
    _OfProcess.jobs = jobs


def jobs_at_hand() -> Sequence[LoggedJob]:
    """What runs here: the job of `current`, or in a thread of the model and in `predict_batch` all of the process."""
    job = _current.get(None)
    return (job,) if job is not None else _OfProcess.jobs()


def reset_current(token: Token[Job]) -> None:
    """Takes back what `set_current` did."""
    _current.reset(token)


def _cut(text: object) -> str:
    """As a text that is JSON: lone surrogates are none."""
    return str(text)[:MAX_TEXT_CHARS].encode(errors="replace").decode()
