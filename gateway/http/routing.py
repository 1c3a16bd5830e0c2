"""How a request finds its endpoint: by Starlette's routes, which forgive doubled slashes, or by a way past them."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from gateway.http.errors import error_response, unavailable
from gateway.http.request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("/{2,}")


class MeasuredEndpoint:
    """ASGI application of one route: answers with what `respond` returns, or with the document of what it raises.

    A query may have the `parameters` and no other. Each answer has the request's id.
    `on_answered` is called after each answer with `name`, the method, the status and the seconds since the head.
    So is `on_access`, with the request and the response in place of the status.
    """

    def __init__(
        self,
        name: str,
        respond: Callable[[HttpRequest], Awaitable[Response]],
        parameters: frozenset[str],
        on_answered: Callable[[str, str, int, float], None],
        on_access: Callable[[str, str, HttpRequest, Response, float], None] | None = None,
    ) -> None:
        self._name = name
        self._respond = respond
        self._parameters = parameters
        self._on_answered = on_answered
        self._on_access = on_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        request = HttpRequest(scope, receive)
        try:
            request.check_query(self._parameters)
            response = await self._respond(request)
        except Exception as error:  # noqa: BLE001
            response = error_response(error, request.id)
        except asyncio.CancelledError:  # by uvicorn alone, when the time to stop in is over
            response = unavailable("the gateway stops, and had no time to finish this").response()
        response.raw_headers.append((b"x-request-id", request.id))
        await response(scope, receive, send)
        took_s = time.perf_counter() - started_s
        self._on_answered(self._name, scope["method"], response.status_code, took_s)
        if self._on_access is not None:
            self._on_access(self._name, scope["method"], request, response, took_s)


class HotPath:
    """ASGI application that is `app`, but hands requests of one method and path to their endpoint at once.

    A measured endpoint answers its own errors, so it needs none of Starlette's middleware. Going through that
    and the routes takes longer than a push does by itself.
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


class SubPath:
    """ASGI application that is `app` under `root_path` as well as at the top.

    A proxy that publishes the API under that path may strip it or keep it. Probes of the process know nothing of it.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._prefix = f"{root_path}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _SLASHES.sub("/", scope["path"])
            if path.startswith(self._prefix):
                scope = {**scope, "path": path[len(self._prefix) - 1 :]}
        await self._app(scope, receive, send)


class PortSwitch:
    """ASGI application that hands what has come to `port` to `there`, and all else to `app`."""

    def __init__(self, app: ASGIApp, port: int, there: ASGIApp) -> None:
        self._app = app
        self._port = port
        self._there = there

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        to_port = scope["type"] == "http" and scope["server"][1] == self._port
        await (self._there if to_port else self._app)(scope, receive, send)


class SingleSlashes:
    """ASGI application for paths that no route has: merges each run of slashes into one and asks `router` again.

    Raises HTTPException 404 if the path has no doubled slash.
    """

    def __init__(self, router: ASGIApp) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "//" not in scope["path"]:
            raise HTTPException(404)
        await self._router({**scope, "path": _SLASHES.sub("/", scope["path"])}, receive, send)
