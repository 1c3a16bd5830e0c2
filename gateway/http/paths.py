"""Paths as old clients write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("/{2,}")


class SingleSlashes:
    """ASGI application for paths that no route has: tries again with each run of slashes as one, else raises 404."""

    def __init__(self, router: ASGIApp) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "//" not in scope["path"]:
            raise HTTPException(404)
        await self._router({**scope, "path": _SLASHES.sub("/", scope["path"])}, receive, send)
