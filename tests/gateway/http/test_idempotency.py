"""Idempotency-Key on push."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.gateway.service import GatewayProcess, get, problem, push, status_of
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import StreamSettings

RAW = {"Idempotency-Key": "k", "Content-Type": "application/json"}


async def pushed_raw(http: aiohttp.ClientSession, body: str) -> str:
    async with http.post("/push", headers=RAW, data=body) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


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
    assert await problem(response) == (422, "the Idempotency-Key was used with another input or other options before")
    assert await pushed(http, "k", params={"input": "x"}) == first
    assert (await stream.counts()).waiting == 1


async def test_concurrent_retries_are_one_job(http: aiohttp.ClientSession, stream: Stream) -> None:
    ids = await asyncio.gather(*(pushed(http, "k", params={"input": "x"}) for _ in range(50)))
    assert len(set(ids)) == 1
    assert (await stream.counts()).waiting == 1


@pytest.mark.parametrize("text", ["x", "y"])
async def test_a_key_whose_job_is_gone_is_a_new_job(http: aiohttp.ClientSession, stream: Stream, text: str) -> None:
    first = await pushed(http, "k", params={"input": "x"})
    await stream.claim("w", 1)
    await stream.finish("w", [Finish(first, 1, "finished", b"1", 0)])

    second = await pushed(http, "k", params={"input": text})

    assert second != first
    assert (await get(http, f"/status/{second}"))["status"] == "queued"
    assert await pushed(http, "k", params={"input": text}) == second


async def test_a_key_never_answers_an_id_that_is_not_found(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings, KEEP_RESULT_S="1") as gateway:
        first = await pushed(gateway.http, "k", json=1)
        await stream.claim("w", 1)
        await stream.finish("w", [Finish(first, 1, "finished", b"1", 1000)])
        while await status_of(gateway.http.get(f"/status/{first}")) == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

        second = await pushed(gateway.http, "k", json=1)

        assert second != first
        assert await status_of(gateway.http.get(f"/status/{second}")) == 200


NUMBERS = [
    "18446744073709551615", "18446744073709551616", "18446744073709551617", "1" + "0" * 400, "1" + "0" * 399 + "1",
    "-9223372036854775808", "-9223372036854775809", "-9223372036854775810", "0", "0.0", "-0.0", "1", "1.0", "1e-300",
    "0.1", "0.10000000000000002", "9007199254740993", "9007199254740992",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), list(itertools.pairwise(NUMBERS)))
async def test_two_numbers_are_two_inputs(http: aiohttp.ClientSession, one: str, other: str) -> None:
    first = await pushed_raw(http, f'{{"n": [{one}], "m": 1}}')

    assert await pushed_raw(http, f'{{"m":1,"n":[{one}]}}') == first
    async with http.post("/push", headers=RAW, data=f'{{"n": [{other}], "m": 1}}') as response:
        assert (await problem(response))[0] == 422


@pytest.mark.parametrize(("one", "other"), [("1e2", "100.0"), ("-0", "0"), ('"\\u0061"', '"a"'), ("0.10", "0.1")])
async def test_the_same_value_is_the_same_input_however_it_is_spelled(
    http: aiohttp.ClientSession, one: str, other: str
) -> None:
    assert await pushed_raw(http, f"[{one}, 18446744073709551616]") == await pushed_raw(
        http, f" [ {other},18446744073709551616] "
    )


async def test_a_key_is_kept_for_a_day(http: aiohttp.ClientSession, stream: Stream) -> None:
    await pushed(http, "k", params={"input": "x"})
    [name] = await stream.redis.keys(f"{stream.prefix}:idempotency:*")
    assert 86_000 < await stream.redis.ttl(name) <= 86_400


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "\u00e4"])
async def test_bad_keys(http: aiohttp.ClientSession, stream: Stream, key: str) -> None:
    response = await http.post("/push?input=x", headers={"Idempotency-Key": key})
    assert (await problem(response))[0] == 400
    assert (await stream.counts()).waiting == 0
