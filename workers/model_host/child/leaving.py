"""The ends of a model's process, as its code sees them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from workers.model_host.child.printed import PrintedLines
from workers.telemetry.tracebacks import message_of


def exit_of(error: SystemExit) -> tuple[int, str]:
    """The exit code and the message of `sys.exit`, as the interpreter would make them."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF, ""
    return 1, message_of(error)


def leave_at_once(code: int) -> NoReturn:
    """Ends this process; sys.exit would wait for the model's threads and exit handlers."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            if isinstance(stream, PrintedLines):
                stream.end_line()
            stream.flush()
    os._exit(code & 0xFF)
