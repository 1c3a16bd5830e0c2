"""A fixed address in front of a server, which can be led to another one, and be slow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Self

_CHUNK_BYTES = 16_384
# What a busy machine did not send in time may be caught up on for so long: a slow link is no slower than asked.
_CATCH_UP_S = 0.2


class TcpProxy:
    """Takes connections on `port` and leads new ones to `target`, a port; those that are open stay where they are.

    `bytes_per_s` is how fast each direction of each connection is; None is as fast as it goes.
    """

    def __init__(self, target: int, bytes_per_s: float | None = None) -> None:
        self.target = target
        self.bytes_per_s = bytes_per_s
        self.port = 0
        self.opened = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self._closing = asyncio.Event()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        """The server's, by way of the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        # It is slow by what it takes, as a link is, and no store for megabytes.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK_BYTES)
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=_CHUNK_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._serving if task))
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._serving.add(task := asyncio.current_task())
        with contextlib.suppress(OSError):
            inner = await asyncio.open_connection("127.0.0.1", self.target, limit=_CHUNK_BYTES)
            await asyncio.gather(self._copy(reader, inner[1]), self._copy(inner[0], writer))
        writer.close()
        self._serving.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        writer.transport.set_write_buffer_limits(_CHUNK_BYTES)
        loop, due_s = asyncio.get_running_loop(), 0.0
        try:
            while data := await reader.read(_CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
                if self.bytes_per_s:
                    due_s = max(due_s, loop.time() - _CATCH_UP_S) + len(data) / self.bytes_per_s
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout_at(due_s):
                            await self._closing.wait()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()
