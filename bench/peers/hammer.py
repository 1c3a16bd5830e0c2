"""The throughput comparison's load: keep-alive connections that send the next request when the last is answered.

Prints {"warm"} when the warm-up is over, and {"answers", "seconds", "cpu_s"} at the end. A protocol on uvloop
and no HTTP client: it has to cost less than what it measures. Any answer but 202 ends it with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import cast

import uvloop

from bench.peers.libraries.common import tell


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._size = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        """Counts an answer that is whole, and sends the next request."""
        self._buffer += data
        self._size = self._size or _size(self._buffer)  # all answers are of one size
        if not self._size or len(self._buffer) < self._size:
            return
        if len(self._buffer) > self._size or not self._buffer.startswith(b"HTTP/1.1 202 "):
            self._load.fail(f"unexpected answer: {self._buffer[:300]!r}")
            return
        self._buffer = b""
        self._load.answers += 1
        assert self._transport is not None
        self._transport.write(self._load.request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Only at the end."""
        self._load.fail(f"a connection was closed: {exc}")


def _size(answer: bytes) -> int:
    """An answer's size in bytes, from its headers; 0 if they are not whole yet."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    if not end:
        return 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + 4 + int(value)
    raise ValueError(f"no content-length: {head!r}")


class Load:
    """All connections' requests and answers."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = 0
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, why: str) -> None:
        """Ends the measurement; the first reason stands."""
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(why))

    async def run(self, port: int, connections: int, warm_up_s: float, seconds: float) -> dict[str, float]:
        """Measures behind a warm-up."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Client(self), "127.0.0.1", port)
        await self._pause(warm_up_s)
        tell({"warm": True})
        answers, since_s, cpu_s = self.answers, time.perf_counter(), time.process_time()
        await self._pause(seconds)
        measured = {
            "answers": self.answers - answers,
            "seconds": time.perf_counter() - since_s,
            "cpu_s": time.process_time() - cpu_s,
        }
        self._failed.cancel()
        return measured

    async def _pause(self, seconds: float) -> None:
        await asyncio.wait([self._failed], timeout=seconds)
        if self._failed.done():
            self._failed.result()


async def main() -> None:
    """Runs as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    request = f"POST /push?input=x HTTP/1.1\r\nHost: 127.0.0.1:{options.port}\r\nContent-Length: 0\r\n\r\n"
    load = Load(request.encode())
    tell(await load.run(options.port, options.connections, options.warm_up, options.seconds))


if __name__ == "__main__":
    uvloop.run(main())
