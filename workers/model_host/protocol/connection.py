"""The model's end of its connection to the worker, which no fork and no stranger can answer through."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, TextIO

from workers.model_host.protocol.frames import (
    BATCH,
    CANCEL,
    HEALTH,
    JOB,
    LAST_WORDS_BYTES,
    MAX_BODY_BYTES,
    OUT_OF_MEMORY,
    WATCHES,
    Frame,
    FrameError,
    FrameReader,
    pack,
)
from workers.telemetry.tracebacks import traceback_of

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

_FIRST_READ_BYTES = 65_536
_NEXT_READ_BYTES = 1_048_576


class Connection:
    """Receives jobs and sends one answer to each. Before that a job at hand may tell events, from any thread.

    One job is at hand at a time, which `receive` returns; after `share` there are several, which `receive_all` yields.

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
        self._at_hand = {0}  # numbers of the jobs that are to be answered
        self._is_shared = False
        # Of these two the number of the job for which it was so last.
        self._watched = 0
        self._cancelled = 0
        self._lock = threading.RLock()
        self._is_cut = False  # while a frame is being sent, and if it was not sent as a whole
        self._reader = FrameReader(MAX_BODY_BYTES, (CANCEL,), self._on_cancel, takes_more=True)
        self._reader.expect(1, notices_of=0)
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
        if not self._is_open:
            self._socket.detach()
        elif self._is_shared:  # a job that comes now must not fail to be sent: what was answered before would be lost
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        else:
            self._socket.close()

    def receive(self) -> Frame | None:
        """The next job, batch or call of `health`; None at the connection's end. Raises FrameError."""
        if not self._is_open:
            os._exit(1)
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
        with self._lock:
            self._job += 1
            self._at_hand = {self._job}
            self._reader.expect(self._job + 1, notices_of=self._job)
        self._out_of_memory = pack(self._job, self._pid, OUT_OF_MEMORY)
        return frame

    def share(self) -> int:
        """From now on several jobs may be at hand, and `receive_all` is to be called for them. The result is the fd."""
        self._is_shared = True
        self._reader = FrameReader(MAX_BODY_BYTES)
        self._reader.expect_any(range(1, 2**64))
        return self._socket.fileno()

    def receive_all(self) -> Iterator[Frame]:
        """The jobs, cancels and calls of `health` that have come. Raises EOFError at the end, and FrameError."""
        if not self._is_open:
            os._exit(1)
        try:
            data = self._socket.recv(_NEXT_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise EOFError
        for frame in self._reader.feed_all(data):
            if frame.kind != CANCEL:
                if frame.kind not in (JOB, HEALTH) or frame.job != self._job + 1:
                    raise FrameError("not the next job")
                self._job = frame.job
                with self._lock:
                    self._at_hand.add(frame.job)
            yield frame

    def tell(self, job: int, kind: bytes, body: bytes) -> None:
        """Sends an event of the job with this number, if that is at hand and this is no fork."""
        if not self.is_ours:
            return
        with self._lock:
            # It is cut if a signal handler of the model has interrupted another event.
            if job in self._at_hand and not self._is_cut and self._is_open:
                self._write(pack(job, self._pid, kind, body))

    def is_cancelled(self, job: int) -> bool:
        """Whether the worker wants the job with this number to stop, if that is at hand and this is no fork."""
        if not self.is_ours:
            return False
        with self._lock:
            if job not in self._at_hand or not self._is_open:
                return job == self._cancelled
            if self._watched != job and not self._is_cut:
                self._watched = job
                self._write(pack(job, self._pid, WATCHES))
            self._look()
            return job == self._cancelled

    def _look(self) -> None:
        """Takes in what the worker has sent while a job is at hand."""
        try:
            data = self._socket.recv(_FIRST_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:  # the worker ends
            self._cancelled = self._job
        elif self._reader.feed(data) is not None:
            os._exit(1)  # another job before this one has been answered

    def _on_cancel(self, frame: Frame) -> None:
        self._cancelled = frame.job

    def send(self, kind: bytes, body: bytes = b"", job: int | None = None) -> None:
        """Sends the answer to a job; None is what was received last.

        Ends this process if the answer can't be sent as a whole, or was sent.
        """
        job = self._job if job is None else job
        self._send(job, pack(job, self._pid, kind, body))

    def send_out_of_memory(self, message: str, job: int | None = None) -> None:
        """Says that there is no memory, with the message if there is enough for that."""
        job = self._job if job is None else job
        frame = self._out_of_memory
        with contextlib.suppress(MemoryError):
            frame = pack(job, self._pid, OUT_OF_MEMORY, message.encode())
        self._send(job, frame)

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

    def _send(self, job: int, frame: bytes) -> None:
        if not self.is_ours:
            os._exit(1)
        with self._lock:
            self._send_answer(job, frame)

    def _send_answer(self, job: int, frame: bytes) -> None:
        if job not in self._at_hand or self._is_cut:
            os._exit(1)
        self._at_hand.discard(job)
        if not self._is_open:
            if len(frame) <= LAST_WORDS_BYTES:
                self._last_words[: len(frame)] = frame
            os._exit(1)
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        # If a signal handler of the model raises meanwhile, the frame may be cut: nothing is sent after it then.
        self._is_cut = True
        try:
            self._socket.sendall(frame)
        except OSError:  # the worker has died
            os._exit(1)
        self._is_cut = False
