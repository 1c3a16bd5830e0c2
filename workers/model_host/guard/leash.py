"""The worker's end of its connection to a guardian."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

from workers.model_host.guard.guardian import END_IN_S, NUMBER
from workers.model_host.protocol.frames import LAST_WORDS_BYTES

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
        self._heard = bytearray()  # from a guardian whose parent is a template, or from that of one

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

    async def number(self) -> int | None:
        """The next number that the guardian sends; None if it has ended."""
        await self._hear(NUMBER.size)
        return self._taken(0)

    def number_now(self) -> int | None:
        """The number, if it has come by now."""
        self.last_words()
        return self._taken(0)

    async def exit_code(self) -> int:
        """The exit code that a forked guardian tells at its end, or minus the signal; waits for that end."""
        await self._hear(LAST_WORDS_BYTES + NUMBER.size + 1)  # more than it sends
        code = self._taken(-NUMBER.size)
        return -signal.SIGKILL if code is None else code

    def last_words(self) -> bytes:
        """What the guardian has sent at its end; empty if it has sent nothing."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._heard += self._control.recv(LAST_WORDS_BYTES)
        return bytes(self._heard)

    def close(self) -> None:
        """Frees what it holds."""
        if self._control is not None:
            self._control.close()
        if self._stuck is not None:
            self._stuck.cancel()

    async def _hear(self, size: int) -> None:
        """Returns when as many bytes have come, or no more will."""
        assert self._control is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while len(self._heard) < size and (data := await loop.sock_recv(self._control, LAST_WORDS_BYTES)):
                self._heard += data

    def _taken(self, start: int) -> int | None:
        """Takes the number that starts there out of what has been heard; None if that is too short."""
        if len(self._heard) < NUMBER.size:
            return None
        start %= len(self._heard)
        (number,) = NUMBER.unpack_from(self._heard, start)
        del self._heard[start : start + NUMBER.size]
        return int(number)

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
