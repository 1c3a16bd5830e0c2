"""One request to one endpoint: what it asks, and how it is answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import Request

from gateway.errors import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from gateway.parts import Parts


class Call(Request):
    """A request, its query and headers as dicts: of names that come more than once, the last."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.parts: Parts = scope["app"].state.parts
        self.query = _parse(scope["query_string"].decode("latin-1"))
        self._headers_by_name: dict[bytes, bytes] = dict(scope["headers"])

    def header(self, name: bytes) -> str | None:
        """A header's value, by its name in lower case."""
        value = self._headers_by_name.get(name)
        return None if value is None else value.decode("latin-1")


def _parse(query: str) -> dict[str, str]:
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    # The same where nothing is encoded, in a third of the time.
    pairs = (pair.partition("=") for pair in query.split("&"))
    return {name: value for name, _, value in pairs if name}


class Endpoint:
    """ASGI application of one route: `function` answers the call, or raises what `answer` knows; both are measured."""

    def __init__(self, function: Callable[[Call], Awaitable[Response]]) -> None:
        self._function = function
        self._name = function.__name__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        call = Call(scope, receive)
        try:
            response = await self._function(call)
        except Exception as error:  # noqa: BLE001
            response = answer(error)
        await response(scope, receive, send)
        seconds = time.perf_counter() - started_s
        call.parts.metrics.answered(self._name, scope["method"], response.status_code, seconds)
