"""The API through its Service: by E2E_URL, or by `kubectl proxy` and the API server where no address is known."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fleet.client import PersistentClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 300.0
_FIGURE = re.compile(r"^(leadtime_\w+) (\S+)$", re.MULTILINE)


class Api(PersistentClient):
    """A client that does not give up, of an API below a path."""

    def __init__(self, base: str, prefix: str) -> None:
        super().__init__(base, PATIENCE_S)
        self._prefix = prefix

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """As there; what a proxy on the way has to say of a missing gateway is no answer."""
        status, document = await super().ask(method, self._prefix + path, **options)
        return (0, document) if status in (502, 504) else (status, document)

    async def status(self, job_id: str) -> dict[str, Any]:
        """The job's status document, once there is an answer."""
        while True:
            status, document = await self.ask("GET", f"/status/{job_id}")
            if status == 200:
                return dict(document)
            assert status in (0, 503), f"status of {job_id}: {status} {document}"
            await self._pause("status", status, document)

    async def figures(self) -> dict[str, float]:
        """A gateway's metrics without labels, by name."""
        async with self._session.get(f"{self._prefix}/metrics") as response:
            return {name: float(value) for name, value in _FIGURE.findall(await response.text())}

    async def outstanding(self) -> float:
        """Jobs that have not ended; never 0 by mistake."""
        figures = await self.figures()
        names = ("leadtime_jobs_waiting", "leadtime_jobs_pending", "leadtime_jobs_deferred")
        return sum(figures.get(name, float("inf")) for name in names)


def kubectl() -> str:
    """The user's kubectl, or that of the virtual environment."""
    return shutil.which("kubectl") or str(Path(sys.executable).with_name("kubectl"))


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Api]:
    """A client of the API."""
    if url := os.environ.get("E2E_URL"):
        async with Api(url.rstrip("/"), "") as api:
            yield api
        return
    async with proxied("leadtime", "leadtime-gateway") as api:
        yield api


@contextlib.asynccontextmanager
async def proxied(namespace: str, service: str) -> AsyncIterator[Api]:
    """A client of a gateway's Service, by `kubectl proxy` and the API server."""
    process = await asyncio.create_subprocess_exec(
        kubectl(), "proxy", "--port=0", stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:\d+", line)
        assert found, f"kubectl proxy said {line!r}"
        prefix = f"/api/v1/namespaces/{namespace}/services/{service}:8002/proxy"
        async with Api(f"http://{found[0]}", prefix) as api:
            yield api
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
