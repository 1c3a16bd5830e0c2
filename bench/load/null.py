"""A server that does nothing: what is measured against it is the load generator itself.

`python -m bench.load.null` prints {"port"}, answers as a gateway does whose jobs take no time, and ends with its
standard input. It remembers the last inputs, to hand them back as data; all answers are made by hand.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from typing import cast

import orjson

_MOST_INPUTS = 100_000
_LENGTH = b"content-length:"


class Jobs:
    """Inputs by id, and when they came."""

    def __init__(self) -> None:
        self._count = 0
        self._inputs: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    def answer(self, method: str, path: str, body: bytes) -> tuple[bytes, bytes]:
        """Status line and document."""
        if method == "POST" and path == "/push":
            self._count += 1
            job_id = f"{self._count:032x}"
            self._inputs[job_id] = (body, datetime.now(UTC).isoformat(timespec="milliseconds"))
            if len(self._inputs) > _MOST_INPUTS:
                self._inputs.popitem(last=False)
            return b"202 Accepted", b'{"id":"%s"}' % job_id.encode()
        kind, _, job_id = path.removeprefix("/").partition("/")
        if job_id not in self._inputs:
            return b"404 Not Found", b"{}"
        body, at = self._inputs[job_id]
        document: dict[str, object] = {"id": job_id}
        if kind == "status":
            document |= {"status": "finished", "attempts": 1, "queued": at, "started": at, "finished": at}
        else:
            document |= {"output": None, "input": orjson.loads(body), "latency": 0.0}
        return b"200 OK", orjson.dumps(document)


class Connection(asyncio.Protocol):
    """Keep-alive, one request after the other."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answers what is whole."""
        self._buffer += data
        while True:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            first, *lines = head.split(b"\r\n")
            sizes = [int(line[len(_LENGTH) :]) for line in lines if line.lower().startswith(_LENGTH)]
            size = sizes[0] if sizes else 0
            if len(rest) < size:
                return
            self._buffer = rest[size:]
            method, path, _ = first.decode("latin-1").split(" ")
            status, body = self._jobs.answer(method, path.partition("?")[0], rest[:size])
            assert self._transport is not None
            self._transport.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (status, len(body), body)
            )


async def serve() -> None:
    """Until the standard input ends."""
    loop = asyncio.get_running_loop()
    jobs = Jobs()
    server = await loop.create_server(lambda: Connection(jobs), "127.0.0.1", 0)
    print(orjson.dumps({"port": server.sockets[0].getsockname()[1]}).decode(), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(serve())
    except ImportError:
        asyncio.run(serve())
