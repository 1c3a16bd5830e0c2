"""HTTP servers for tests, in the test's own process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@contextlib.asynccontextmanager
async def serving(*routes: web.RouteDef, middlewares: Sequence[Any] = ()) -> AsyncIterator[str]:
    """The URL of a server with these routes, on a free port of this machine."""
    app = web.Application(middlewares=middlewares)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
