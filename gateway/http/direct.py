"""A short way for the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Direct:
    """ASGI application that is `app`, but hands one method and path to its endpoint at once.

    An endpoint answers its own errors, so it needs none of the application's middleware, and the walk through
    that and the routes takes more time than a push does by itself.
    """

    def __init__(self, app: ASGIApp, method: str, path: str, endpoint: ASGIApp) -> None:
        self._app = app
        self._method = method
        self._path = path
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._path and scope["method"] == self._method:
            await self._endpoint(scope, receive, send)
        else:
            await self._app(scope, receive, send)
