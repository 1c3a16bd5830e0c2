"""The gateway as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.processes import TetheredProcess
from gateway.__main__ import server_of
from gateway.settings import GatewaySettings
from tests.processes import ROOT, module
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from workers.stream import StreamSettings

PATIENCE_S = 30.0
# Of openapi-python-client, which knows JSON and bytes. NDJSON is bytes to it.
CLIENT_CONFIG = """post_hooks: []
content_type_overrides: {application/x-ndjson: application/octet-stream}
"""


class GatewayProcess:
    """`python -m gateway` on a free port, with a client of it. Further settings by name."""

    def __init__(self, settings: StreamSettings, **more: str) -> None:
        self.port = free_port()
        scheme = "https" if "TLS_CERT_FILE" in more else "http"
        self.base = f"{scheme}://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "REDIS_URL": settings.redis_url,
            "QUEUE_NAME": settings.queue_name,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **more,
        }
        self.process: TetheredProcess
        self.http: aiohttp.ClientSession

    def start(self) -> None:
        """Starts the process."""
        self.process = TetheredProcess(module("gateway"), self._environment, cwd=ROOT)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.reap(PATIENCE_S)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """For tests that share it: each has a `client` of its own."""
        self.start()
        yield self
        assert self.stop() == 0

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[None]:
        """Sets `http`, as soon as the process answers."""
        async with aiohttp.ClientSession(self.base) as self.http, asyncio.timeout(PATIENCE_S) as patience:
            while not await self._answers():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            patience.reschedule(None)
            yield

    async def _answers(self) -> bool:
        assert self.process.running, "the gateway ended"
        try:
            async with self.http.get("/healthz", ssl=False) as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def __aenter__(self) -> Self:
        self.start()
        self._client = self.client()
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)
        if self.process.running:
            assert await asyncio.to_thread(self.stop) == 0


@contextlib.asynccontextmanager
async def serving(settings: StreamSettings, **more: Any) -> AsyncIterator[str]:
    """The URL of a gateway in the process of the test. Further settings by name, and a `tracer`."""
    tracer = more.pop("tracer", None)
    own = GatewaySettings(
        redis_url=settings.redis_url, queue_name=settings.queue_name, host="127.0.0.1", port=free_port(), **more
    )
    server = server_of(own, tracer)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE_S):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{own.port}"
    server.should_exit = True
    await task


async def push(http: aiohttp.ClientSession, text: str = "hello", **headers: str) -> str:
    """Pushes a text; its job's id."""
    async with http.post("/push", params={"input": text}, headers=headers) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def status_of(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> int:
    """The status that a request is answered with."""
    async with request as response:
        return response.status


async def get(http: aiohttp.ClientSession, path: str) -> Any:
    """The document at a path that must answer 200."""
    async with http.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def problem(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """Status and detail of a problem document."""
    assert response.content_type == "application/problem+json"
    document = await response.json()
    assert document["status"] == response.status
    assert document["title"]
    return response.status, document["detail"]


async def raw(port: int, data: bytes, *, patience_s: float = 20) -> bytes:
    """What comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(patience_s):
            return await reader.read()
    finally:
        writer.close()


async def samples(http: aiohttp.ClientSession) -> dict[str, float]:
    """All samples of /metrics, by name and labels."""
    async with http.get("/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
