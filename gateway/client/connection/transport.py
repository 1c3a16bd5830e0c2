"""One gateway over HTTP: requests that are made again as long as that is safe and of use."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from ..errors import GatewayUnavailable, LeadtimeError, ServerFault, error_of
from .patience import RetryPatience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

# An answer is given up that is silent for so long after the wait that was asked for. An answer with events has a
# comment each 15 s.
_SILENT_S = 30.0
_CONNECT_S = 10.0


class RequestParts(TypedDict, total=False):
    """What a request may have besides method and path.

    `body` makes the body anew for each try. `wait_s` is how long the gateway may hold the answer back.
    """

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Callable[[], Any]
    wait_s: int


class HttpAnswer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as a JSON value. Raises ServerFault."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ServerFault(self.status, "the answer is no JSON: is this a gateway's URL?") from None


def path_to(*names: str) -> str:
    """A path of the gateway. A name that comes from a stranger stays one: `../jobs` is no other path."""
    return "".join(f"/{quote(name, safe='', errors='surrogateescape')}" for name in names)


class Transport:
    """Requests to the gateway at `url`, whose path is `ROOT_PATH`'s if the gateway has one.

    `patience_s` is how long a request is tried again, `connections` how many there are at most.
    """

    def __init__(self, url: str, api_key: str, patience_s: float, connections: int) -> None:
        if not _is_base(url):
            raise ValueError(f"{url!r} is no URL of a gateway, such as http://127.0.0.1:8002")
        if not patience_s >= 0:  # NaN is none, either
            raise ValueError(f"patience_s is {patience_s:g}: it must be 0 or more")
        if not api_key.isprintable():
            raise ValueError("the API key has a line end or another character that no key has")
        parts = urlsplit(url)
        self.base = url.rstrip("/")
        self._encoded_base = str(URL(self.base)).rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._patience_s = patience_s
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    def patience(self) -> RetryPatience:
        """For one series of tries."""
        return RetryPatience(self._patience_s)

    def at_origin(self, url: str) -> str:
        """A URL that an answer has named: a path is one of the gateway's host."""
        return self._origin + url if url.startswith("/") else url

    async def call(
        self, method: str, path: str, *, is_repeatable: bool = True, **parts: Unpack[RequestParts]
    ) -> HttpAnswer:
        """The answer to a request, which is below 400.

        A request that is not repeatable is made again only if the gateway has answered that it could not serve it.
        Raises LeadtimeError.
        """
        patience = self.patience()
        while True:
            try:
                async with self.open(method, path, **parts) as response:
                    return HttpAnswer(response.status, response.headers, await response.read())
            except GatewayUnavailable as error:
                if not is_repeatable and not error.was_answered:
                    raise
                failure: LeadtimeError = error
            except LeadtimeError as error:
                failure = error
            await patience.pause(failure)

    @contextlib.asynccontextmanager
    async def open(
        self, method: str, path: str, **parts: Unpack[RequestParts]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One try: the answer, whose body is to be read. Raises LeadtimeError, also where the body is cut."""
        is_url = not path.startswith("/")
        # As it is: yarl would take `..` for the path above.
        url = URL(path) if is_url else URL(self._encoded_base + path, encoded=True)
        wait_s, body = parts.get("wait_s", 0), parts.get("body")
        is_own = not is_url or path.startswith(f"{self._origin}/")
        own = {**(self._headers if is_own else {}), **parts.get("headers", {})}
        if wait_s:
            own["Prefer"] = f"wait={wait_s}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=wait_s + _SILENT_S)
        try:
            async with self._sessions().request(
                method, url, params=parts.get("query"), headers=own, data=body and body(), timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise error_of(response.status, response.headers, await response.read())
                yield response
        except aiohttp.InvalidURL:
            raise ValueError(f"{path!r} is no URL") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise GatewayUnavailable(f"{self.base} can't be reached: {_reason(error)}") from error

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self._connections))
        return self._session


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for what is none
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment


def _reason(error: Exception) -> str:
    """What the system says of a connection that could not be made; what aiohttp says of any other."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number, text = error.os_error.errno, error.os_error.strerror
        # A resolver's numbers are negative, and asyncio's words for the others are no sentence.
        if number and (why := os.strerror(number) if number > 0 else text):
            return why
    return str(error) or type(error).__name__
