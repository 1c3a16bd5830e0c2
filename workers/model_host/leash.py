"""The worker's end of its connection to a guardian."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

from workers.model_host.guardian import END_IN_S, LAST_WORDS_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

STUCK_S = 20.0  # past the grace: a guardian that has not ended by then is killed itself


class Leash:
    """Tells one guardian when to end its model. `kill_model` is called before a guardian that is stuck is killed."""

    def __init__(self, kill_model: Callable[[], None]) -> None:
        self._kill_model = kill_model
        self._control: socket.socket | None = None
        self._guardian: int | None = None  # its pid from its start until it is reaped: then it may be another's
        self._end_in_s: float | None = None  # what the guardian was told, or will be
        self._stuck: asyncio.TimerHandle | None = None

    @property
    def ending(self) -> bool:
        """Whether the guardian was told to end its model, or will be."""
        return self._end_in_s is not None

    def open(self) -> socket.socket:
        """The guardian's end of a new connection."""
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        return theirs

    def hold(self, guardian: int) -> None:
        """The guardian has been started with this process id; it may have been told to end meanwhile."""
        self._guardian = guardian
        self._tell()

    def end(self, grace_s: float) -> None:
        """Has the model ended: by SIGTERM, and by SIGKILL `grace_s` seconds later. The shortest grace holds."""
        if self._end_in_s is None or grace_s < self._end_in_s:
            self._end_in_s = grace_s
            self._tell()

    def let_go(self) -> None:
        """The guardian has ended."""
        self._guardian = None

    def last_words(self) -> bytes:
        """What the guardian has sent at its end; empty if it has sent nothing."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                return self._control.recv(LAST_WORDS_BYTES)
        return b""

    def close(self) -> None:
        """Frees what it holds."""
        if self._control is not None:
            self._control.close()
        if self._stuck is not None:
            self._stuck.cancel()

    def _tell(self) -> None:
        if self._guardian is None or self._end_in_s is None or self._control is None:
            return
        with contextlib.suppress(OSError):
            self._control.send(END_IN_S.pack(self._end_in_s))
        if self._stuck is None:
            self._stuck = asyncio.get_running_loop().call_later(self._end_in_s + STUCK_S, self._kill)

    def _kill(self) -> None:
        self._kill_model()
        if self._guardian is not None:
            os.kill(self._guardian, signal.SIGKILL)
