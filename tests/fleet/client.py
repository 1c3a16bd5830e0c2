"""A client that does not give up: it pushes until it has an id, and asks until it has a result."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from tests.sse import EVENTS, ReadEvent, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

RETRY_S = 0.2
WAIT_S = 10
PATIENCE_S = 90.0
_FOLLOW = aiohttp.ClientTimeout(total=None, sock_read=60)  # a comment comes each 15 s


class PersistentClient:
    """Errors are counted in `trouble` and answered by trying again; an answer that must never come is raised."""

    def __init__(self, base: str, patience_s: float = PATIENCE_S) -> None:
        self.trouble: Counter[str] = Counter()
        self._patience_s = patience_s
        self._session = aiohttp.ClientSession(
            base, timeout=aiohttp.ClientTimeout(total=3 * WAIT_S), connector=aiohttp.TCPConnector(limit=0)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and document of one request; (0, what happened) if there was no answer."""
        try:
            async with self._session.request(method, path, **options) as response:
                body = await response.read()
                assert response.content_type.endswith("json"), f"{method} {path}: {response.status} {body!r}"
                return response.status, orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return 0, type(error).__name__

    async def push(self, text: str, **query: str) -> str:
        """The id of the job with this input, once its push has been acknowledged."""
        return str((await self.accepted("/push", lambda: {"json": text}, **query))["id"])

    async def accepted(self, path: str, body: Callable[[], dict[str, Any]], **query: str) -> dict[str, Any]:
        """The answer to a push, once it has been acknowledged. `body` makes the options of each try's request."""
        key = uuid.uuid4().hex
        while True:
            status, document = await self.ask("POST", path, params=query, headers={"Idempotency-Key": key}, **body())
            if status == 202:
                return dict(document)
            assert status in (0, 503), f"{path}: {status} {document}"
            await self._pause("push", status, document)

    async def follow(self, path: str) -> list[ReadEvent]:
        """All events up to the last one, as several answers have them: each goes on where the one before was cut."""
        events: list[ReadEvent] = []
        while not events or events[-1].kind != "end":
            last = {"Last-Event-ID": events[-1].id} if events else {}
            status: int | str = 0
            try:
                async with self._session.get(path, headers=EVENTS | last, timeout=_FOLLOW) as response:
                    status = response.status
                    assert status in (200, 503), f"{path}: {status} {await response.text()}"
                    if status == 200:
                        events += [event async for event in _up_to_a_cut(response)]
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                status = type(error).__name__
            if not events or events[-1].kind != "end":
                await self._pause("events", 0, status)
        return events

    async def file(self, url: str) -> bytes:
        """What is at a file's URL, which there must be."""
        while True:
            status: int | str = 0
            try:
                async with self._session.get(url) as response:
                    status = response.status
                    assert status in (200, 503), f"{url}: {status} {await response.text()}"
                    if status == 200:
                        return await response.read()
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                status = type(error).__name__
            await self._pause("file", 0, status)

    async def result(self, job_id: str) -> dict[str, Any]:
        """What `/data` shows, once there is something. A job that is unknown or did not finish is an error."""
        deadline = time.monotonic() + self._patience_s
        while True:
            status, document = await self.ask("GET", f"/data/{job_id}?wait={WAIT_S}")
            assert status == 200 or time.monotonic() < deadline, f"no result of {job_id}: {status} {document}"
            if status == 200:
                return dict(document)
            if status == 404:
                assert document.get("job_status") in ("scheduled", "queued", "processing"), f"{job_id}: {document}"
                await asyncio.sleep(RETRY_S)
                continue
            assert status in (0, 503), f"data of {job_id}: {status} {document}"
            await self._pause("data", status, document)

    async def _pause(self, what: str, status: int, document: Any) -> None:
        self.trouble[f"{what}: {status or document}"] += 1
        await asyncio.sleep(RETRY_S)


async def _up_to_a_cut(response: aiohttp.ClientResponse) -> AsyncIterator[ReadEvent]:
    """The events that came before the connection broke, if it did."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
        async for event in read(response):
            yield event
