"""The model's end of its connection to the worker, which no fork and no stranger can answer through."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TextIO

from workers.model_host.guard.guardian import LAST_WORDS_BYTES
from workers.model_host.protocol.frames import (
    BATCH,
    HEALTH,
    JOB,
    MAX_BODY_BYTES,
    OUT_OF_MEMORY,
    Frame,
    FrameError,
    FrameReader,
    pack,
)
from workers.telemetry.tracebacks import traceback_of

if TYPE_CHECKING:
    import mmap
    import socket

_FIRST_READ_BYTES = 65_536
_NEXT_READ_BYTES = 1_048_576


class Connection:
    """Receives jobs and sends one answer to each.

    `last_words` is memory shared with the guardian: a frame that can't be sent, because the model has closed the file
    descriptor, gets to the worker that way. `log` is what stderr was at the start, in case the model closes that.
    """

    def __init__(self, connection: socket.socket, last_words: mmap.mmap) -> None:
        self.log: TextIO | None = None
        with contextlib.suppress(OSError):
            self.log = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self.take(connection, last_words)

    def take(self, connection: socket.socket, last_words: mmap.mmap) -> None:
        """Has a process that was forked from a template go on with a connection of its own."""
        connection.set_inheritable(False)
        self._socket = connection
        self._last_words = last_words
        self._pid = os.getpid()
        self._identity = self._identity_now()
        self._job = 0
        self._answered = False
        self._reader = FrameReader(MAX_BODY_BYTES)
        self._out_of_memory = pack(0, self._pid, OUT_OF_MEMORY)  # made while there is memory

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that the connection was made for, and no fork of it."""
        return os.getpid() == self._pid

    def abandon(self) -> None:
        """Closes it in a fork."""
        if not self.is_ours and self._is_open:
            os.close(self._socket.detach())

    def close(self) -> None:
        """Tells the worker that nothing more will come."""
        if self._is_open:
            self._socket.close()
        else:
            self._socket.detach()

    def receive(self) -> Frame | None:
        """The next job, batch or call of `health`; None at the connection's end. Raises FrameError."""
        if not self._is_open:
            os._exit(1)
        self._reader.expect(self._job + 1)
        most_bytes = _FIRST_READ_BYTES
        while True:
            try:
                data = self._socket.recv(most_bytes)
            except ConnectionError:
                return None
            if not data:
                return None
            if (frame := self._reader.feed(data)) is not None:
                break
            most_bytes = _NEXT_READ_BYTES
        if frame.kind not in (JOB, BATCH, HEALTH):
            raise FrameError("not a job")
        self._job += 1
        self._answered = False
        self._out_of_memory = pack(self._job, self._pid, OUT_OF_MEMORY)
        return frame

    def send(self, kind: bytes, body: bytes = b"") -> None:
        """Sends the answer to what was received last. Ends this process if it can't be sent as a whole, or was sent."""
        self._send(pack(self._job, self._pid, kind, body))

    def send_out_of_memory(self, message: str) -> None:
        """Says that there is no memory, with the message if there is enough for that."""
        frame = self._out_of_memory
        with contextlib.suppress(MemoryError):
            frame = pack(self._job, self._pid, OUT_OF_MEMORY, message.encode())
        self._send(frame)

    def report(self, error: BaseException) -> None:
        """Writes a traceback to the log. Never raises."""
        if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
            return
        with contextlib.suppress(Exception):
            if self.log is not None:
                self.log.write(traceback_of(error) + "\n")
                self.log.flush()

    def _identity_now(self) -> tuple[int, int] | None:
        """What the file descriptor is: the model may have closed it, and opened something else."""
        try:
            found = os.fstat(self._socket.fileno())
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @property
    def _is_open(self) -> bool:
        return self._identity_now() == self._identity

    def _send(self, frame: bytes) -> None:
        if not self.is_ours or self._answered:
            os._exit(1)
        self._answered = True
        if not self._is_open:
            if len(frame) <= LAST_WORDS_BYTES:
                self._last_words[: len(frame)] = frame
            os._exit(1)
        try:
            # If a signal handler of the model raises meanwhile, the frame may be cut: nothing is sent after it then.
            self._socket.sendall(frame)
        except OSError:  # the worker has died
            os._exit(1)
