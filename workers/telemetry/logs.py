"""The log format of all processes: one line per record, on stderr, with UTC times and bounds."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from workers.telemetry.tracebacks import cut, traceback_of

_MAX_LINE_CHARS = 4000


class LineFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.123Z INFO workers.worker: text`, and the traceback below it if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, its message cut to 4,000 characters."""
        record.message = cut(record.message, _MAX_LINE_CHARS)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, each message in it cut to 2,000 characters."""
        return traceback_of(ei[1]) if ei[1] is not None else super().formatException(ei)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time as RFC 3339 says, in UTC, with milliseconds."""
        time = datetime.fromtimestamp(record.created, tz=UTC)
        return time.strftime(datefmt) if datefmt else f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def configure_logging(level: str) -> None:
    """Sends all records of `level` (DEBUG, INFO, WARNING or ERROR) and above to stderr. Removes earlier handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
