"""`python -m tests.faults.hoarders PORT JOB [KIND ...]`: clients that send without end, stall or never read.

`JOB` has a large result. All kinds hoard at once, until the process is killed. A line tells of each kind that it has
done its worst: the gateway has ended a connection of it, or all of them stand still.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1024 * 1024
LOOK_S = 0.1
PAUSE_S = 0.02
ESTABLISHED = 1  # TCP_INFO's state of a connection that the other side has not ended
PUSH = b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def pipeline(_job_id: str) -> Iterator[bytes]:
    """Requests, one behind the other."""
    while True:
        yield b"GET /status/none HTTP/1.1\r\nHost: x\r\n\r\n" * 1000


def trailers(_job_id: str) -> Iterator[bytes]:
    """A body, then trailers without end."""
    yield PUSH + b'Transfer-Encoding: chunked\r\n\r\n3\r\n"a"\r\n0\r\n'
    while True:
        yield b"a:b\r\n" * 10_000


def stalled_body(_job_id: str) -> Iterator[bytes]:
    """All of a body but its last byte."""
    yield PUSH + b"Content-Length: %d\r\n\r\n" % MIB + b'"' + b"x" * (MIB - 2)


def stalled_head(_job_id: str) -> Iterator[bytes]:
    """A head that never ends."""
    yield b"GET /healthz HTTP/1.1\r\n" + b"a:b\r\n" * 190 + b"X: " + b"x" * 60_000


def unread_result(job_id: str) -> Iterator[bytes]:
    """Asks for a large result."""
    yield b"GET /data/%s HTTP/1.1\r\nHost: x\r\n\r\n" % job_id.encode()


@dataclass(frozen=True, slots=True)
class HoarderKind:
    """`count` clients that send what `make` gives. One that was cut off is back after `again_s` seconds."""

    make: Callable[[str], Iterator[bytes]]
    count: int
    again_s: float = 1.0


KINDS = {
    "pipeline": HoarderKind(pipeline, 50),
    "trailers": HoarderKind(trailers, 20),
    "stalled body": HoarderKind(stalled_body, 300, again_s=5.0),
    "stalled head": HoarderKind(stalled_head, 300, again_s=5.0),
    "unread result": HoarderKind(unread_result, 20),
    "unread result at once again": HoarderKind(unread_result, 5, again_s=0),
}


class Hoarders:
    """The clients of one kind."""

    def __init__(self, name: str, port: int, job_id: str) -> None:
        self._name = name
        self._kind = KINDS[name]
        self._port = port
        self._job_id = job_id
        self._stalled = 0
        self._said = False

    async def run(self) -> None:
        """Hoards for ever."""
        await asyncio.gather(*(self._hoard() for _ in range(self._kind.count)))

    async def _hoard(self) -> None:
        while True:
            with socket.socket() as connection, contextlib.suppress(OSError):
                await self._use(connection)
            self._say()
            await asyncio.sleep(self._kind.again_s)

    async def _use(self, connection: socket.socket) -> None:
        """Connects, sends and never reads; returns, or raises OSError, when the gateway has ended the connection."""
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(connection, ("127.0.0.1", self._port))
        for piece in self._kind.make(self._job_id):
            await loop.sock_sendall(connection, piece)
            await asyncio.sleep(PAUSE_S)
        self._stalled += 1
        try:
            if self._stalled == self._kind.count:
                self._say()
            # What comes is not read, so only the state of the connection tells that it was ended.
            while connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        finally:
            self._stalled -= 1

    def _say(self) -> None:
        if not self._said:
            sys.stdout.write(f"hoarding: {self._name}\n")
            sys.stdout.flush()
        self._said = True


async def main(port: int, job_id: str, names: list[str]) -> None:
    """Hoards in all these ways."""
    await asyncio.gather(*(Hoarders(name, port, job_id).run() for name in names))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:] or list(KINDS)))
