"""SIGTERM in the model's process: it ends what the model does, unless the model has a handler of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


# How long after a signal that came while a tracer (coverage, a debugger) ran it is sent again.
_AGAIN_S = 0.002


class Terminated(SystemExit):
    """Raised in the model's main thread by SIGTERM, unless the model has a handler of its own."""


class Sigterm:
    """Raises Terminated once; after that the signal is ignored, as what cleans up must not be interrupted.

    `divert` is asked first, if there is one: it is handed the frame that was interrupted, and says whether it sees to
    the end itself.
    """

    def __init__(self) -> None:
        self.divert: Callable[[FrameType | None], bool] | None = None
        self._has_left = False

    def listen(self) -> None:
        """Sets the handler."""
        signal.signal(signal.SIGTERM, self._handle)

    def ignore(self) -> None:
        """Ignores the signal from now on, unless the model has a handler of its own."""
        if self._is_set:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def leave(self) -> None:
        """Lets the signal end this process at once, as it does usually: for forks."""
        if self._is_set:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._has_left = True

    def come_back(self) -> None:
        """Sets the handler again in a fork that serves jobs, unless the model has one of its own."""
        if self._has_left:
            self.listen()

    @property
    def _is_set(self) -> bool:
        handler = signal.getsignal(signal.SIGTERM)
        return getattr(handler, "__self__", None) is self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if _is_of_tracer(frame):
            # Raised there, it could leave the tracer's lock held, and no `finally` of the traced code would run.
            threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
            return
        self.ignore()
        if self.divert is None or not self.divert(frame):
            raise Terminated


def _is_of_tracer(frame: FrameType | None) -> bool:
    """Whether `sys.settrace`'s function runs: `frame`, or a caller of it up to the traced code, is of its package."""
    if (tracer := sys.gettrace()) is None:
        return False
    package = _package(getattr(tracer, "__module__", None) or type(tracer).__module__)
    while frame is not None and frame.f_trace is None:
        if _package(frame.f_globals.get("__name__", "")) == package:
            return True
        frame = frame.f_back
    return False


def _package(module: str) -> str:
    return module.partition(".")[0]
