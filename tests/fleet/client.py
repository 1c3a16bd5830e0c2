"""A client that does not give up: it pushes until it has an id, and asks until it has a result."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import Any, Self

import aiohttp
import orjson

RETRY_S = 0.2
WAIT_S = 10
PATIENCE_S = 90.0


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
        key = uuid.uuid4().hex
        while True:
            status, document = await self.ask(
                "POST", "/push", json=text, params=query, headers={"Idempotency-Key": key}
            )
            if status == 202:
                return str(document["id"])
            assert status in (0, 503), f"push of {text!r}: {status} {document}"
            await self._pause("push", status, document)

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
