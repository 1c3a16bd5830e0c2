"""The sending side of a connection: how it is closed, and what becomes of a client that does not read."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    from collections.abc import Callable

# More than this is kept here, where it is counted, and not in the kernel, which would take up to 4 MB a connection.
_KERNEL_BYTES = 131_072
_CHECKS_PER_TIMEOUT = 4


def keep_kernel_buffer_small(transport: asyncio.Transport) -> None:
    """Bounds what the kernel keeps of unsent answers (TCP_NOTSENT_LOWAT), where there is such an option."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, _KERNEL_BYTES)


def has_unread(transport: asyncio.Transport) -> bool:
    """Whether the kernel has bytes of this client that were not read yet (FIONREAD)."""
    try:
        size_bytes = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, b"\0\0\0\0")
    except OSError:
        return False
    return any(size_bytes)


def end_sending(transport: asyncio.Transport) -> None:
    """Closes the sending side (FIN) of a connection that was idle at once, so that few requests can cross it.

    `write_eof` alone does so in uvloop's next round, which is milliseconds later if there is much to do. It is used if
    the client has not read all that was sent.
    """
    if transport.get_write_buffer_size() == 0:
        with contextlib.suppress(OSError):
            descriptor = os.dup(transport.get_extra_info("socket").fileno())
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor) as same:
                same.shutdown(socket.SHUT_WR)
            return
    transport.write_eof()


def abort(transport: asyncio.Transport) -> None:
    """Closes the connection by a reset (SO_LINGER 0). Otherwise the kernel would offer what is left for minutes."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class RequestTransport:
    """What a request sees of its connection's transport. `close` is the protocol's: it lets the client read first.

    What is written while `joins_next` is set waits for what is written next: uvloop would send each at once.
    """

    __slots__ = ("_held", "_write", "close", "is_closing", "joins_next")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._write = transport.write
        self._held = b""
        self.joins_next = False
        self.is_closing = transport.is_closing
        self.close = close

    def write(self, data: bytes) -> None:
        """Sends it, with what was held."""
        if self.joins_next:
            self.joins_next, self._held = False, data
        elif self._held:
            self._held, data = b"", self._held + data
            self._write(data)
        else:
            self._write(data)


class ReadFlow(FlowControl):
    """Reading from the socket. It stands still while `has_enough`: something read before waits to be parsed."""

    has_enough = False

    def __init__(self, transport: asyncio.Transport) -> None:
        # Without uvicorn's event, which most connections never need: it takes 0.8 KB.
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        """Returns when the client has read enough of what was sent."""
        if self.write_paused:
            self._writable = self._writable or asyncio.Event()
            await self._writable.wait()

    def pause_writing(self) -> None:
        """The client has not read enough."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """It has."""
        self.write_paused = False
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def resume_reading(self) -> None:
        """Does nothing while there is enough."""
        if not self.has_enough:
            super().resume_reading()


class SendWatch:
    """Calls `on_stall` once a client has taken nothing of what is to be sent for `timeout_s` seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        timeout_s: float,
        on_stall: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._interval_s = timeout_s / _CHECKS_PER_TIMEOUT
        self._on_stall = on_stall
        self._timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = self._checks = 0

    def start(self) -> None:
        """Watches from now on."""
        if self._timer is None:
            self._unsent_bytes, self._checks = self._unsent(), 0
            self._timer = self._loop.call_later(self._interval_s, self._check)

    def stop(self) -> None:
        """Watches no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def has_moved(self) -> bool:
        """Whether the client has taken something since the last look."""
        before, self._unsent_bytes = self._unsent_bytes, self._unsent()
        if self._unsent_bytes < before:
            self._checks = 0
        return self._unsent_bytes < before

    def _check(self) -> None:
        self._timer = None
        self._checks = 0 if self.has_moved() else self._checks + 1
        if self._checks < _CHECKS_PER_TIMEOUT:
            self._timer = self._loop.call_later(self._interval_s, self._check)
        else:
            self._on_stall()

    def _unsent(self) -> int:
        # With what the kernel has (SIOCOUTQ): the buffer here shrinks only in large steps.
        size_bytes = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            kernel = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            size_bytes += struct.unpack("i", kernel)[0]
        return size_bytes
