"""The answers to those who listen to the overview, when it can't be read and when they read slowly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway.http.request import HttpRequest
from gateway.page import hub
from tests.gateway.service import PATIENCE_S, serving, status_of
from tests.sse import EVENTS, read

if TYPE_CHECKING:
    import pytest

    from workers.stream import StreamSettings


async def test_listeners_are_let_go_when_the_overview_can_not_be_read_and_come_back(
    settings: StreamSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise KeyError("member-7")

    async with serving(settings) as base, aiohttp.ClientSession(base) as http, asyncio.timeout(PATIENCE_S):
        async with http.get("/overview", headers=EVENTS) as first, http.get("/overview", headers=EVENTS) as second:
            listeners = [read(first), read(second)]
            assert [(await anext(one)).kind for one in listeners] == ["overview", "overview"]

            with monkeypatch.context() as patch:
                patch.setattr(hub, "queue_document", broken)
                left = [[event.kind async for event in one] for one in listeners]

        assert left == [[], []]
        assert "the overview can't be read" in caplog.text
        assert "member-7" in caplog.text
        assert await status_of(http.get("/readyz")) == 200
        async with http.get("/overview", headers=EVENTS) as again:
            assert (await anext(read(again))).kind == "overview"


async def test_a_listener_that_is_behind_gets_the_overview_too(
    settings: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpRequest, "is_behind", True)
    async with (
        serving(settings) as base,
        aiohttp.ClientSession(base) as http,
        asyncio.timeout(PATIENCE_S),
        http.get("/overview", headers=EVENTS) as response,
    ):
        assert (await anext(read(response))).kind == "overview"
