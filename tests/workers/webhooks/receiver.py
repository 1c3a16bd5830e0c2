"""Receivers of webhooks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import web

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

PATIENCE_S = 30.0


class Got(NamedTuple):
    """One request that a receiver got."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The message's."""
        return self.headers["webhook-id"]

    @property
    def message(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


class Receiver:
    """Takes webhooks at /hook. `answer` makes the answer to each; by default it is 204."""

    def __init__(self, answer: Callable[[int], web.Response] | None = None) -> None:
        self.got: list[Got] = []
        self._news = asyncio.Event()
        self._answer = answer or (lambda _: web.Response(status=204))

    async def take(self, request: web.Request) -> web.Response:
        """POST /hook."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(headers, await request.read()))
        self._news.set()
        return self._answer(len(self.got))

    def serving(self) -> AbstractAsyncContextManager[str]:
        """The URL of a server."""
        return serving(web.post("/hook", self.take))

    async def until(self, count: int) -> list[Got]:
        """Waits for so many requests, and returns all."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.got) < count:
                self._news.clear()
                await self._news.wait()
        return self.got
