"""The load on an endpoint: keep-alive connections that send the next request when the last is answered.

`python -m bench.peers.hammer PORT CONNECTIONS SECONDS PATH STATUS [JSON]` posts the JSON, or nothing. It prints
{"warm"} after a quarter of the seconds, and {"answers", "seconds", "cpu_s", "latencies"} after SECONDS more. With 0
seconds each connection sends one request, all at once, and the figures are those until the last answer. A protocol on
uvloop and no HTTP client: it has to cost less than what it measures. An answer of another status ends it with an error.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from typing import cast

import uvloop

from bench.common.figures import percentile
from bench.peers.libraries.common import tell


class HammerConnection(asyncio.Protocol):
    """One connection; `latencies_s` are those of all."""

    latencies_s: list[float]
    begins: bytes
    goes_on: bool

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = b""
        self._sent_s = 0.0
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the others."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Sends a request."""
        self._sent_s, self._waits = time.perf_counter(), True
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Counts an answer that is whole, and sends the next request."""
        self._buffer += data
        if not self._buffer.startswith(self.begins[: len(self._buffer)]):
            fail(f"unexpected answer: {self._buffer[:300]!r}")
        if is_whole(self._buffer):
            self._buffer, self._waits = b"", False
            self.latencies_s.append(time.perf_counter() - self._sent_s)
            if self.goes_on:
                self.send()
        elif len(self._buffer) >= 10_000:
            fail(f"unexpected answer: {self._buffer[:300]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """An error if the endpoint has closed it without an answer."""
        if self._waits:
            fail(f"a connection was closed: {exc}")


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def is_whole(answer: bytes) -> bool:
    """Whether an answer has a body of the length that its head says."""
    end = answer.find(b"\r\n\r\n")
    found = _LENGTH.search(answer, 0, end + 2) if end > 0 else None
    return found is not None and len(answer) == end + 4 + int(found[1])


def fail(why: str) -> None:
    """Ends this process at once."""
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


def request_of(port: int, path: str, body: bytes) -> bytes:
    """The same bytes each time."""
    content_type = "Content-Type: application/json\r\n" if body else ""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{content_type}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def main() -> None:
    """Measures after a warm-up."""
    port, connections, seconds, path, status = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:6]
    request = request_of(port, path, sys.argv[6].encode() if len(sys.argv) > 6 else b"")
    HammerConnection.begins, HammerConnection.goes_on = f"HTTP/1.1 {status} ".encode(), seconds > 0
    HammerConnection.latencies_s = []
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: HammerConnection(request), "127.0.0.1", port) for _ in range(connections)
    ]
    since_s, cpu_s = time.perf_counter(), time.process_time()
    for _transport, connection in made:
        connection.send()
    await asyncio.sleep(seconds / 4)
    tell({"warm": True})
    if seconds:
        HammerConnection.latencies_s = []
        since_s, cpu_s = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
    while len(HammerConnection.latencies_s) < connections and not seconds:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    found_s, passed_s = HammerConnection.latencies_s, time.perf_counter() - since_s
    figures = {"answers": len(found_s), "seconds": passed_s, "cpu_s": time.process_time() - cpu_s}
    tell({**figures, "latencies": {percent: percentile(found_s, percent) for percent in (50, 99)}})
    os._exit(0)  # without a word of the connections that are open


if __name__ == "__main__":
    uvloop.run(main())
