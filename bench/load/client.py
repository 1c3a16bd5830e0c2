"""HTTP to the service: what was answered, or that there was no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import orjson
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

# uvicorn closes connections that were idle for 5 s: a request must not meet that.
_KEEP_ALIVE_S = 4.0
_REQUEST_TIMEOUT_S = 30.0
_JSON = {"Content-Type": "application/json"}
# What a proxy says when the service behind it is away: it may have done what it was asked, or not.
NO_ANSWER = (0, 502, 504)


class Answer(NamedTuple):
    """`status` 0: there was none, and `error` says why."""

    status: int
    body: bytes = b""
    error: str = ""
    retry_after_s: float | None = None

    @property
    def is_none(self) -> bool:
        """Nobody knows what became of the request."""
        return self.status in NO_ANSWER

    @property
    def what(self) -> str:
        """For counting troubles."""
        return self.error or f"HTTP {self.status}"

    def document(self) -> dict[str, Any]:
        """The JSON object; empty if it is none."""
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return document if isinstance(document, dict) else {}


class Client:
    """Any number of connections at once; as a context."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._base = str(URL(url)).rstrip("/")
        self._push_url = URL(f"{self._base}/push")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding",),
        )
        self._timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        self.requests = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def push(self, body: bytes, key: str) -> Answer:
        """One push. The same key again is the same job: a push without an answer may be repeated."""
        return await self._ask("POST", self._push_url, body, {**_JSON, "Idempotency-Key": key}, self._timeout)

    async def get(self, path: str, wait_s: float = 0.0) -> Answer:
        """A document; with `wait_s`, as soon as the job has ended, or after the wait."""
        url = URL(self._base + path, encoded=True)
        if not wait_s:
            return await self._ask("GET", url, None, None, self._timeout)
        # Not `?wait=`, which is refused where the service's longest wait is shorter.
        headers = {"Prefer": f"wait={wait_s:.0f}"}
        return await self._ask("GET", url, None, headers, aiohttp.ClientTimeout(total=wait_s + _REQUEST_TIMEOUT_S))

    async def _ask(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> Answer:
        self.requests += 1
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                read = await response.read()
                retry_after_s = _seconds(response.headers.get("Retry-After")) if response.status == 503 else None
                return Answer(response.status, read, retry_after_s=retry_after_s)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return Answer(0, error=type(error).__name__)


def _seconds(text: str | None) -> float | None:
    """What a Retry-After says, if it is in seconds; at most a minute."""
    return min(60.0, float(text)) if text and text.isdecimal() else None
