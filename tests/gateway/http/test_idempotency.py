"""Idempotency-Key on push."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.gateway.service import problem, push
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    import aiohttp


async def pushed(http: aiohttp.ClientSession, key: str, **body: object) -> str:
    async with http.post("/push", headers={"Idempotency-Key": key}, **body) as response:  # type: ignore[arg-type]
        assert response.status == 202
        return str((await response.json())["id"])


async def test_the_same_key_and_input_are_one_job(http: aiohttp.ClientSession, stream: Stream) -> None:
    first = await pushed(http, "k", params={"input": "x"})
    assert await pushed(http, "k", params={"input": "x"}) == first
    assert await pushed(http, "k", json="x") == first
    assert await pushed(http, "other", params={"input": "x"}) != first
    assert await push(http, "x") != first
    assert (await stream.counts()).waiting == 3


async def test_members_in_another_order_are_the_same_input(http: aiohttp.ClientSession) -> None:
    assert await pushed(http, "k", json={"a": 1, "b": 2}) == await pushed(http, "k", json={"b": 2, "a": 1})


async def test_another_input_is_a_conflict(http: aiohttp.ClientSession, stream: Stream) -> None:
    first = await pushed(http, "k", params={"input": "x"})
    response = await http.post("/push?input=y", headers={"Idempotency-Key": "k"})
    assert await problem(response) == (422, "the Idempotency-Key was used with another input before")
    assert await pushed(http, "k", params={"input": "x"}) == first
    assert (await stream.counts()).waiting == 1


async def test_concurrent_retries_are_one_job(http: aiohttp.ClientSession, stream: Stream) -> None:
    ids = await asyncio.gather(*(pushed(http, "k", params={"input": "x"}) for _ in range(50)))
    assert len(set(ids)) == 1
    assert (await stream.counts()).waiting == 1


async def test_a_key_outlives_its_job(http: aiohttp.ClientSession, stream: Stream) -> None:
    first = await pushed(http, "k", params={"input": "x"})
    await stream.claim("w", 1)
    await stream.finish("w", [Finish(first, 1, "finished", b"1", 0)])
    assert await pushed(http, "k", params={"input": "x"}) == first
    assert (await stream.counts()).outstanding == 0


async def test_a_key_is_kept_for_a_day(http: aiohttp.ClientSession, stream: Stream) -> None:
    await pushed(http, "k", params={"input": "x"})
    [name] = await stream.redis.keys(f"{stream.prefix}:idempotency:*")
    assert 86_000 < await stream.redis.ttl(name) <= 86_400


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "\u00e4"])
async def test_bad_keys(http: aiohttp.ClientSession, stream: Stream, key: str) -> None:
    response = await http.post("/push?input=x", headers={"Idempotency-Key": key})
    assert (await problem(response))[0] == 400
    assert (await stream.counts()).waiting == 0
