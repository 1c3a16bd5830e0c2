"""The load on an endpoint: keep-alive connections that send the next request when the last is answered.

`python -m bench.peers.hammer PORT CONNECTIONS SECONDS [JSON]` pushes the JSON, or else a text. It prints {"warm"} after
a quarter of the seconds, and {"answers", "seconds", "cpu_s"} after SECONDS more. A protocol on uvloop and no HTTP
client: it has to cost less than what it measures. Any answer but 202 ends it with an error.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from typing import cast

import uvloop

from bench.peers.libraries.common import tell

_HEAD = re.compile(rb"(?is)^HTTP/1.1 202 .*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n")


class HammerConnection(asyncio.Protocol):
    """One connection; `answers` counts those of all."""

    answers = 0

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = b""
        self._size = 0  # of an answer: all are of one size

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Counts an answer that is whole, and sends the next request."""
        self._buffer += data
        if not self._size and (head := _HEAD.match(self._buffer)):
            self._size = head.end() + int(head[1])
        if len(self._buffer) == self._size and self._buffer.startswith(b"HTTP/1.1 202 "):
            self._buffer = b""
            HammerConnection.answers += 1
            self._transport.write(self._request)
        elif len(self._buffer) >= (self._size or 10_000) or not self._buffer.startswith(b"HTTP/1.1 202 "[: len(data)]):
            fail(f"unexpected answer: {self._buffer[:300]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """An error: the endpoint has closed it."""
        fail(f"a connection was closed: {exc}")


def fail(why: str) -> None:
    """Ends this process at once."""
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


async def main() -> None:
    """Measures after a warm-up."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    body = sys.argv[4].encode() if len(sys.argv) > 4 else b""
    path, content_type = ("/push", "Content-Type: application/json\r\n") if body else ("/push?input=x", "")
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{content_type}Content-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: HammerConnection(request), "127.0.0.1", port)
    await asyncio.sleep(seconds / 4)
    tell({"warm": True})
    answers, since_s, cpu_s = HammerConnection.answers, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    answers = HammerConnection.answers - answers
    tell({"answers": answers, "seconds": time.perf_counter() - since_s, "cpu_s": time.process_time() - cpu_s})
    os._exit(0)  # without a word of the connections that are open


if __name__ == "__main__":
    uvloop.run(main())
