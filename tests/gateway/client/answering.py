"""A worker of few words for tests of the client, and a way to the gateway that is cut."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import orjson

from workers.stream import Finish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from workers.stream import Claimed, Stream

WORKER = "w"
_LOOK_S = 0.02
_CHUNK_BYTES = 65_536


def upper(value: Any) -> Any:
    """What most tests let a job return."""
    return {"output": str(value).upper()}


async def claimed(stream: Stream, count: int = 1) -> list[Claimed]:
    """So many jobs, once there are any."""
    while not (jobs := await stream.claim(WORKER, count)):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)
    return jobs


async def finish(stream: Stream, job: Claimed, result: Any) -> None:
    """Ends a job with its result; an exception fails it."""
    status, body, notes = "finished", result, b'{"input":%b}' % job.args[1:-1]
    if isinstance(result, Exception):
        status, body, notes = "failed", {"type": type(result).__name__, "message": str(result)}, b""
    end = Finish(job.id, job.attempt, status, orjson.dumps(body), 60_000, notes)  # type: ignore[arg-type]
    await stream.finish(WORKER, [end])


@contextlib.asynccontextmanager
async def answering(stream: Stream, answer: Callable[[Any], Any] = upper) -> AsyncIterator[None]:
    """Ends each job with what `answer` makes of its input; an exception that it returns fails the job."""

    async def work() -> None:
        while True:
            for job in await claimed(stream, 16):
                await finish(stream, job, answer(orjson.loads(job.args)[0]))

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class CuttingProxy:
    """Leads connections to the port `target`. The first ones are cut behind so many bytes of what comes back."""

    def __init__(self, target: int, cuts_bytes: Sequence[int]) -> None:
        self.target = target
        self.opened = 0
        self._cuts_bytes = list(cuts_bytes)
        self._serving: set[asyncio.Task[None] | None] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The gateway's URL by way of this."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*(task for task in self._serving if task))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._serving.add(task := asyncio.current_task())
        left_bytes = self._cuts_bytes.pop(0) if self._cuts_bytes else None
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.target)
        sending = asyncio.create_task(_copy(reader, inner_writer))
        try:
            while data := await inner_reader.read(_CHUNK_BYTES):
                if left_bytes is not None:
                    data, left_bytes = data[:left_bytes], max(left_bytes - len(data), 0)
                writer.write(data)
                await writer.drain()
                if left_bytes == 0:
                    break
        except OSError:
            pass
        finally:
            sending.cancel()
            for one in (inner_writer, writer):
                one.close()
            for one in (inner_writer, writer):
                with contextlib.suppress(OSError):
                    await one.wait_closed()
            self._serving.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
