"""The model's end of its connection to the worker, which no fork and no stranger can answer through."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, TextIO

from workers.model_host.frames import HEAD, JOB, OUT_OF_MEMORY, FrameError, FrameReader, pack
from workers.telemetry.tracebacks import traceback_of

if TYPE_CHECKING:
    import mmap
    import socket

_ALL_SIGNALS = signal.valid_signals()


class Connection:
    """Receives jobs and sends one answer to each.

    `last_words` is memory shared with the guardian: a frame that can't be sent, because the model has closed the file
    descriptor, gets to the worker that way. `log` is what stderr was at the start, in case the model closes that.
    """

    def __init__(self, connection: socket.socket, last_words: mmap.mmap) -> None:
        connection.set_inheritable(False)
        self._socket = connection
        self._last_words = last_words
        self._pid = os.getpid()
        self._identity = self._identity_now()
        self._job = 0
        self._answered = False
        self._out_of_memory = pack(0, self._pid, OUT_OF_MEMORY)  # made while there is memory
        self.log: TextIO | None = None
        with contextlib.suppress(OSError):
            self.log = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115

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

    def receive(self) -> bytes | None:
        """The next job's input; None at the connection's end. Raises FrameError."""
        head = self._read(HEAD.size)
        if head is None:
            return None
        body = self._read(HEAD.unpack(head)[0])
        if body is None:
            return None
        reader = FrameReader(len(body))
        reader.expect(self._job + 1)
        frame = reader.feed(head + body)
        if frame is None or frame.kind != JOB:
            raise FrameError("not a job")
        self._job += 1
        self._answered = False
        self._out_of_memory = pack(self._job, self._pid, OUT_OF_MEMORY)
        return frame.body

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
        # A handler of the model that raises must not cut the frame in two.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        self._answered = True
        try:
            if self._is_open:
                self._socket.sendall(frame)
            else:
                if len(frame) <= len(self._last_words):
                    self._last_words[: len(frame)] = frame
                os._exit(1)
        except BaseException:  # noqa: BLE001 - the worker has died, or another thread's signal came
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _read(self, size: int) -> bytes | None:
        """So many bytes; None at the connection's end."""
        data = bytearray(size)
        view = memoryview(data)
        at = 0
        while at < size:
            try:
                if not self._is_open:
                    os._exit(1)
                count = self._socket.recv_into(view[at:])
            except ConnectionError:
                return None
            if not count:
                return None
            at += count
        return bytes(data)
