"""An endpoint that touches nothing: Starlette on uvicorn, set as the gateway's, but without its limits.

Reads HOST and PORT, as the gateway does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

BODY = b'{"id":"00112233445566778899aabbccddeeff"}'


async def push(_request: Request) -> Response:
    """What a push answers, without a push."""
    return Response(BODY, 202, media_type="application/json")


app = Starlette(routes=[Route("/push", push, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(
        app,
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        http="httptools",
        loop="uvloop",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
