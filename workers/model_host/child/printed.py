"""What the model prints, in the form of the log: each line with the job that is run, or with all that are."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, cast

from workers.job import jobs_at_hand
from workers.telemetry.log_job import line_job
from workers.telemetry.logs import printed_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.model_host.protocol.connection import Connection
    from workers.telemetry.log_job import LineJob

# A line that has no end is written when it has so many characters.
_MAX_PENDING_CHARS = 16_000


class _Pending(NamedTuple):
    """The beginning of a line, the jobs that were run when it was written, and the process that has written it."""

    text: str
    about: list[LineJob]
    pid: int


_NOTHING = _Pending("", [], 0)


class PrintedLines:
    """A text stream that writes whole lines to another one. All else of that stream is there as it was.

    What one call writes is one entry, also if that has several lines. Each thread has a line of its own to end.
    """

    def __init__(self, inner: TextIO, name: str, form: str, queue: str) -> None:
        self._inner = inner
        self._name = name
        self._form = form
        self._queue = queue
        self._own = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, text: str) -> int:
        """Writes what is a whole line by now, and keeps the rest."""
        # An input that is run to find out whether the model works is no job, and has no id.
        about = [line_job(job, self._queue) for job in jobs_at_hand() if job.id]
        if self._pending.about != about:
            self.end_line()  # what a job has left of a line is not the next job's
        pending = self._pending.text + text
        # Of a bar that draws itself again and again, only what it drew last is a line.
        whole, newline, rest = pending.rpartition("\n")
        if len(rest) > _MAX_PENDING_CHARS:
            whole, newline, rest = pending, "\n", ""
        self._own.pending = _Pending(rest, about, os.getpid())
        if newline:
            self._write(whole, about)
        return len(text)

    def end_line(self) -> None:
        """Writes the line that this thread has begun, unless another process has, of which this is a fork."""
        pending, self._own.pending = self._pending, _NOTHING
        if pending.text and pending.pid == os.getpid():
            with contextlib.suppress(OSError, ValueError):  # the model has closed the stream
                self._write(pending.text, pending.about)

    @property
    def _pending(self) -> _Pending:
        pending: _Pending = getattr(self._own, "pending", _NOTHING)
        return pending

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each."""
        for line in lines:
            self.write(line)

    def _write(self, whole: str, about: list[LineJob]) -> None:
        text = "\n".join(line.rpartition("\r")[2] for line in whole.removesuffix("\r").split("\n"))
        self._inner.write(printed_line(text, self._form, self._name, about) + "\n")
        self._inner.flush()


def print_as_log(connection: Connection, form: str, queue: str) -> None:
    """From now on what is printed, and what the connection reports, has the form of the log."""

    def of(stream: TextIO | None, name: str) -> TextIO | None:
        if stream is None:
            return None
        lines = PrintedLines(stream, name, form, queue)
        atexit.register(lines.end_line)
        return cast("TextIO", lines)

    if (stdout := of(sys.stdout, "stdout")) is not None:
        sys.stdout = stdout
    if (stderr := of(sys.stderr, "stderr")) is not None:
        sys.stderr = stderr
    connection.log = of(connection.log, "stderr")
