"""Bytes on a connection, as no HTTP client would send them, and the answers that come back."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class WireAnswer:
    """One answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def push_of(body: bytes, *headers: bytes) -> bytes:
    """A push of a JSON body, with its length and further headers."""
    return push_head(b"Content-Length: %d" % len(body), *headers) + body


def push_head(*headers: bytes) -> bytes:
    """The head of a push of JSON."""
    lines = (b"POST /push HTTP/1.1", b"Host: x", b"Content-Type: application/json", *headers)
    return b"\r\n".join([*lines, b"", b""])


def exchange(
    port: int, pieces: Iterable[bytes], *, half_close: bool = False, pause_s: float = 0.001
) -> list[WireAnswer]:
    """Sends the pieces one by one, and perhaps an end; the answers until the server ends the connection.

    Raises ConnectionResetError if the server has reset it instead.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # it is refused already
            time.sleep(pause_s)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while data := connection.recv(65_536):
            received += data
    return answers_in(bytes(received))


def answers_in(data: bytes) -> list[WireAnswer]:
    """The answers that these bytes are; none may be cut off."""
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"cut off: {head!r}"
        first, *lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        size_bytes = int(headers[b"content-length"])
        assert len(data) >= size_bytes, f"cut off: {data!r}"
        answers.append(WireAnswer(int(first.split()[1]), headers, data[:size_bytes]))
        data = data[size_bytes:]
    return answers
