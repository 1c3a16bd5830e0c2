"""A JSON response that costs little to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from gateway.http.connection.transport import RequestTransport

# A larger body is not copied to be sent together with its head.
_MOST_JOINED_BYTES = 65_536


class JsonResponse(Response):
    """`document` as application/json; bytes are JSON already."""

    def __init__(self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        # Starlette's constructor would search `headers` for a content type and a length, which are never there.
        self.status_code = status
        self.background = None
        self.body = document if isinstance(document, bytes) else orjson.dumps(document)
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), (b"content-type", b"application/json")]
        if headers:
            for name, value in headers.items():
                self.raw_headers.append((name.lower().encode(), value.encode()))

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Sends it in one piece. Starlette's method would look for websockets and background tasks first."""
        transport: RequestTransport | None = scope["state"].get("transport")
        if transport is not None and scope["method"] != "HEAD" and len(self.body) <= _MOST_JOINED_BYTES:
            transport.joins_next = True
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})
