"""The options of a push, on a real gateway process and a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from tests.gateway.service import PATIENCE_S, get
from workers.stream import JobOptions, Stream

if TYPE_CHECKING:
    import aiohttp


async def pushed(http: aiohttp.ClientSession, headers: dict[str, str] | None = None, **query: str | float) -> str:
    """The id of a job that was pushed with this query."""
    async with http.post("/push", params={"input": "x", **query}, headers=headers) as response:
        assert response.status in (200, 202), await response.text()
        return str((await response.json())["id"])


async def test_a_worker_gets_the_options_and_the_status_has_the_tag(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    job_id = await pushed(http, timeout=2.5, max_attempts=3, keep=60, ttl=30, tag="größe 1")
    status = await get(http, f"/status/{job_id}")
    assert (status["status"], status["tag"]) == ("queued", "größe 1")
    [job] = await stream.claim("w", 1)
    assert job.options == JobOptions(2.5, 3, 60_000, 30_000, "größe 1")
    plain = await get(http, f"/status/{await pushed(http)}")
    assert "tag" not in plain
    assert "due" not in plain


async def test_a_scheduled_job_says_when_it_is_due(http: aiohttp.ClientSession, stream: Stream) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    job_id = await pushed(http, at=at.isoformat())
    status = await get(http, f"/status/{job_id}")
    assert (status["status"], status["due"]) == ("scheduled", at.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    assert await stream.claim("w", 1) == []
    counts = await stream.counts()
    assert (counts.waiting, counts.pending, counts.deferred) == (0, 0, 1)
    async with http.post(f"/cancel/{job_id}") as response:
        assert (await response.json())["status"] == "cancelled"


async def test_without_any_worker_a_job_comes_due_and_another_expires(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    due = await pushed(http, delay=0.05)
    late = await pushed(http, ttl=0.05, wait=PATIENCE_S)
    status = await get(http, f"/status/{late}")
    assert (status["status"], status["error"]["type"], status["attempts"]) == ("failed", "Expired", 0)
    async with asyncio.timeout(PATIENCE_S):
        while (await get(http, f"/status/{due}"))["status"] == "scheduled":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert [job.id for job in await stream.claim("w", 5)] == [due]


async def test_a_priority_says_which_jobs_are_claimed_first(http: aiohttp.ClientSession, stream: Stream) -> None:
    low, plain, normal, high = [
        await pushed(http, None, **query)
        for query in ({"priority": "low"}, {}, {"priority": "normal"}, {"priority": "high"})
    ]
    assert [(await get(http, f"/status/{one}")).get("priority") for one in (low, plain, high)] == ["low", None, "high"]
    assert [job.id for _ in range(4) for job in await stream.claim("w", 1)] == [high, plain, normal, low]


async def test_the_same_idempotency_key_with_other_options_is_refused(http: aiohttp.ClientSession) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await pushed(http, headers, ttl=60)
    assert await pushed(http, headers, ttl="60.0") == first
    for query in ({}, {"ttl": "61"}, {"ttl": "60", "tag": "a"}, {"ttl": "60", "priority": "low"}):
        async with http.post("/push", params={"input": "x", **query}, headers=headers) as response:
            assert response.status == 422


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"timeout": "0"}, ["timeout"]),
        ({"timeout": "301"}, ["timeout"]),
        ({"timeout": "1e3"}, ["timeout"]),
        ({"timeout": "\u0663"}, ["timeout"]),  # a digit, but of Arabic
        ({"max_attempts": "1.5"}, ["max_attempts"]),
        ({"max_attempts": "101"}, ["max_attempts"]),
        ({"max_attempts": "\uff11"}, ["max_attempts"]),
        ({"keep": "0"}, ["keep"]),
        ({"ttl": "nan"}, ["ttl"]),
        ({"delay": "-1"}, ["delay"]),
        ({"delay": "1", "at": "2030-01-01T00:00:00Z"}, ["delay", "at"]),
        ({"at": "2030-01-01"}, ["at"]),
        ({"at": "9999-01-01T00:00:00Z"}, ["at"]),
        ({"at": "2026-13-01T00:00:00Z"}, ["at"]),
        ({"at": "2026-01-01T00:00:0\u0661Z"}, ["at"]),
        ({"wait": "\u0661"}, ["wait"]),
        ({"tag": ""}, ["tag"]),
        ({"tag": "x" * 101}, ["tag"]),
        ({"tag": "a\nb"}, ["tag"]),
        ({"priority": "urgent"}, ["priority"]),
        ({"priority": "HIGH"}, ["priority"]),
        ({"prio": "high"}, ["prio"]),
    ],
)
async def test_what_is_no_option_is_named(
    http: aiohttp.ClientSession, stream: Stream, query: dict[str, Any], names: list[str]
) -> None:
    async with http.post("/push", params={"input": "x", **query}) as response:
        document = await response.json()
    assert (document["status"], document["parameters"]) == (400, names)
    assert (await stream.counts()).outstanding == 0


@pytest.mark.parametrize(
    ("method", "path", "more", "name"),
    [
        ("POST", "/push?input=x", {"json": "y"}, "input"),
        ("POST", "/push?input=%FF", {}, "input"),
        ("POST", "/push?input=x&wait=1", {"headers": {"Accept": "text/event-stream"}}, "wait"),
        ("GET", "/events/{id}?after=x", {}, "after"),
        ("GET", "/jobs?limit=%D9%A1", {}, "limit"),
        ("GET", "/history?seconds=%D9%A1%D9%A1", {}, "seconds"),
    ],
)
async def test_other_refused_parameters_are_named_too(
    http: aiohttp.ClientSession, method: str, path: str, more: dict[str, Any], name: str
) -> None:
    job_id = await pushed(http)

    async with http.request(method, URL(path.format(id=job_id), encoded=True), **more) as response:
        document = await response.json(content_type="application/problem+json")

    assert (document["status"], document["parameters"]) == (400, [name])


async def test_the_trace_of_a_push_goes_with_its_job_and_is_none_of_its_options(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    first, second = (f"00-{digit * 32}-00f067aa0ba902b7-01" for digit in "ab")
    one = await pushed(http, {"traceparent": first, "Idempotency-Key": "k"})
    again = await pushed(http, {"traceparent": second, "Idempotency-Key": "k"})
    await pushed(http, {"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"})
    jobs = await stream.claim("w", 3)

    assert again == one
    assert [job.options.traceparent for job in jobs] == [first, None]
