"""The log format of all processes: one line per record, on stderr, with UTC times."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime


class LineFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.123Z INFO workers.worker: text`, and the traceback below it if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The record's time as RFC 3339 says, in UTC, with milliseconds."""
        time = datetime.fromtimestamp(record.created, tz=UTC)
        return time.strftime(datefmt) if datefmt else f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def configure_logging(level: str) -> None:
    """Sends all records of `level` (DEBUG, INFO, WARNING or ERROR) and above to stderr. Removes earlier handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
