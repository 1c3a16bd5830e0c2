"""HTTP to the service: what was answered, or that there was no answer."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple, Self

import aiohttp
import orjson
from yarl import URL

# uvicorn closes connections that were idle for 5 s: a request must not go out on one that is being closed.
_KEEP_ALIVE_S = 4.0


class ServiceAnswer(NamedTuple):
    """`status` is 0 if there was no answer; `error` says why."""

    status: int
    body: bytes = b""
    error: str = ""

    @property
    def is_none(self) -> bool:
        """Whether nobody knows if the request was carried out: 502 and 504 are a proxy's, whose service is away."""
        return self.status in (0, 502, 504)

    def document(self) -> dict[str, Any]:
        """The JSON object; empty if the body is none."""
        with contextlib.suppress(orjson.JSONDecodeError):
            if isinstance(document := orjson.loads(self.body), dict):
                return document
        return {}


class ServiceClient:
    """Requests on any number of connections at once; a context manager."""

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 30.0) -> None:
        self._base = str(URL(url)).rstrip("/")
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding",),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def push(self, body: bytes, key: str, queue: str = "") -> ServiceAnswer:
        """Pushes a JSON document. The same key again is the same job: a push without an answer may be repeated."""
        path = f"/queues/{queue}/push" if queue else "/push"
        return await self._ask("POST", path, {"Content-Type": "application/json", "Idempotency-Key": key}, body)

    async def get(self, path: str, wait_s: float = 0.0) -> ServiceAnswer:
        """Fetches a document; with `wait_s`, as soon as the job has ended, or after the wait."""
        # Not `?wait=`, which the service refuses if its longest wait is shorter.
        return await self._ask("GET", path, {"Prefer": f"wait={wait_s:.0f}"} if wait_s else {}, wait_s=wait_s)

    async def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None, wait_s: float = 0.0
    ) -> ServiceAnswer:
        url, timeout = URL(self._base + path, encoded=True), aiohttp.ClientTimeout(total=wait_s + self._timeout_s)
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return ServiceAnswer(response.status, await response.read())
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return ServiceAnswer(0, error=type(error).__name__)
