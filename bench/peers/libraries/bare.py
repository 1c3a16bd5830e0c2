"""An endpoint that touches nothing: Starlette on uvicorn, set as the gateway's, but without its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from bench.peers.libraries import common

if TYPE_CHECKING:
    from starlette.requests import Request


async def push(_request: Request) -> Response:
    """What a push answers, without a push."""
    return Response(b'{"id":"00112233445566778899aabbccddeeff"}', 202, media_type="application/json")


app = Starlette(routes=[Route("/push", push, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, **common.SERVE, ws="none", server_header=False, proxy_headers=False)
