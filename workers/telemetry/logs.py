"""The log format of all processes: one line per record, on stderr, with UTC times and bounds."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from workers.telemetry.log_job import job_of
from workers.telemetry.tracebacks import cut, one_line, traceback_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.telemetry.log_job import LineJob

TEXT, JSON = "text", "json"
_MAX_LINE_CHARS = 4000


class LineFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.123Z INFO workers.worker: text` in one line, and the traceback below it if there is one.

    The text of a line about a job begins with `[QUEUE/ID attempt N]`, and names the job nowhere else.
    """

    def __init__(self, queue: str = "") -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._queue = queue

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, its message cut to 4,000 characters."""
        job, text = job_of(record, self._queue), cut(record.message, _MAX_LINE_CHARS)
        record.message = one_line(text if job is None else shown_job(job) + _without_id(text, job.id))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, each message in it cut to 2,000 characters."""
        return traceback_of(ei[1]) if ei[1] is not None else super().formatException(ei)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time as RFC 3339 says, in UTC, with milliseconds."""
        return datetime.fromtimestamp(record.created, tz=UTC).strftime(datefmt) if datefmt else time_of(record.created)


class JsonFormatter(LineFormatter):
    """A JSON object: `time`, `level`, `logger`, `message`; `job`, `queue`, `attempt` and `trace` of a line about
    a job.

    `traceback` is there if the record has one, and the members that the record's `extra` names in `fields`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        document = {
            "time": time_of(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": cut(record.getMessage(), _MAX_LINE_CHARS),
            **members_of(job_of(record, self._queue)),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            document["traceback"] = self.formatException(record.exc_info)
        return json_line(document)


def configure_logging(level: str, form: str = TEXT, queue: str = "") -> None:
    """Sends all records of `level` (DEBUG, INFO, WARNING or ERROR) and above to stderr. Removes earlier handlers.

    `form` is text or json. A line about a job that names no queue is of `queue`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(queue) if form == JSON else LineFormatter(queue))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def printed_line(text: str, form: str, stream: str, jobs: Sequence[LineJob]) -> str:
    """What a model has printed to `stream` (stdout or stderr), without its last line end; cut to 16,000 characters.

    With several jobs it is about all of them. In the text log each line of it begins with them.
    """
    text = cut(text, 4 * _MAX_LINE_CHARS)
    if form != JSON:
        shown = _shown_jobs(jobs)
        return shown + text.replace("\n", f"\n{shown}")
    level = "INFO" if stream == "stdout" else "WARNING"
    document = {"time": time_of(time.time()), "level": level, "logger": f"model.{stream}", "message": text}
    return json_line(document | _members_of_all(jobs))


def shown_job(job: LineJob | None) -> str:
    """The job before the text of a line; empty without one."""
    if job is None:
        return ""
    attempt = f" attempt {job.attempt}" if job.attempt else ""
    return f"[{job.queue}/{job.id}{attempt}] "


def _without_id(text: str, job_id: str) -> str:
    """The text of a line whose beginning names the job. Other handlers, such as arq's, show the text alone."""
    named = f"job {job_id}"
    return text.removeprefix(f"{named}: ") if text.startswith(f"{named}: ") else text.replace(named, "job", 1)


def _shown_jobs(jobs: Sequence[LineJob]) -> str:
    if len(jobs) > 1:
        return f"[{jobs[0].queue}/{' '.join(job.id for job in jobs)}] "
    return shown_job(jobs[0] if jobs else None)


def members_of(job: LineJob | None) -> dict[str, Any]:
    """The members of a line about a job; none without one."""
    if job is None:
        return {}
    more = {"attempt": job.attempt, "trace": job.trace}
    return {"job": job.id, "queue": job.queue, **{name: value for name, value in more.items() if value}}


def _members_of_all(jobs: Sequence[LineJob]) -> dict[str, Any]:
    if len(jobs) > 1:
        each = [{name: value for name, value in members_of(job).items() if name != "queue"} for job in jobs]
        return {"queue": jobs[0].queue, "jobs": each}
    return members_of(jobs[0] if jobs else None)


def json_line(document: dict[str, Any]) -> str:
    """The document in one line. What is no Unicode is replaced."""
    try:
        return orjson.dumps(document).decode()
    except TypeError:  # lone surrogates
        plain = {
            name: value.encode(errors="replace").decode() if isinstance(value, str) else value
            for name, value in document.items()
        }
        return orjson.dumps(plain).decode()


def time_of(seconds: float) -> str:
    """A time as RFC 3339 says, in UTC, with milliseconds."""
    found = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{found:%Y-%m-%dT%H:%M:%S}.{found.microsecond // 1000:03d}Z"
