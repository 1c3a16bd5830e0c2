"""The load on an endpoint: keep-alive connections that send the next request when the last is answered.

`python -m bench.peers.hammer PORT CONNECTIONS SECONDS` prints {"warm"} after a quarter of the seconds, and {"answers",
"seconds", "cpu_s"} after SECONDS more. A protocol on uvloop and no HTTP client: it has to cost less than what it
measures. Any answer but 202 ends it with an error.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import cast

import uvloop

from bench.peers.libraries.common import tell

_LENGTH = re.compile(rb"(?is)^HTTP/1.1 202 .*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n")


class Hammer:
    """All connections' requests and answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.request = f"POST /push?input=x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n".encode()
        self.answers = 0
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, why: str) -> None:
        """Ends the measurement; the first reason stands."""
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(why))

    async def run(self, connections: int, seconds: float) -> dict[str, float]:
        """Measures after a warm-up."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: HammerConnection(self), "127.0.0.1", self.port)
        await self._pause(seconds / 4)
        tell({"warm": True})
        answers, since_s, cpu_s = self.answers, time.perf_counter(), time.process_time()
        await self._pause(seconds)
        used_s, passed_s = time.process_time() - cpu_s, time.perf_counter() - since_s
        self._failed.cancel()
        return {"answers": self.answers - answers, "seconds": passed_s, "cpu_s": used_s}

    async def _pause(self, seconds: float) -> None:
        await asyncio.wait([self._failed], timeout=seconds)
        if self._failed.done():
            self._failed.result()


class HammerConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, hammer: Hammer) -> None:
        self._hammer = hammer
        self._buffer = b""
        self._size = 0  # of an answer: all are of one size

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._hammer.request)

    def data_received(self, data: bytes) -> None:
        """Counts an answer that is whole, and sends the next request."""
        self._buffer += data
        if not self._size and (head := _LENGTH.match(self._buffer)):
            self._size = head.end() + int(head[1])
        if len(self._buffer) == self._size and self._buffer.startswith(b"HTTP/1.1 202 "):
            self._buffer = b""
            self._hammer.answers += 1
            self._transport.write(self._hammer.request)
        elif not b"HTTP/1.1 202 ".startswith(self._buffer[:13]) or len(self._buffer) > (self._size or 10_000):
            self._hammer.fail(f"unexpected answer: {self._buffer[:300]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Only at the end."""
        self._hammer.fail(f"a connection was closed: {exc}")


async def main() -> None:
    """Runs as the command line says."""
    port, connections, seconds = sys.argv[1:]
    tell(await Hammer(int(port)).run(int(connections), float(seconds)))


if __name__ == "__main__":
    uvloop.run(main())
