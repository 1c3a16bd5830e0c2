"""Lists of jobs, and jobs that are forgotten, on a real gateway process and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway.service import GatewayProcess, get, problem, push, status_of
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import StreamSettings


async def ids(http: aiohttp.ClientSession, query: str = "", **headers: str) -> list[str]:
    """The ids of one page."""
    async with http.get(f"/jobs{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        return [job["id"] for job in (await response.json())["jobs"]]


async def test_pages_of_jobs_newest_first(http: aiohttp.ClientSession, stream: Stream) -> None:
    pushed = [await push(http, f"input {number}") for number in range(5)]
    assert await ids(http) == pushed[::-1]
    page = await get(http, "/jobs?limit=2")
    assert page["jobs"][0] == await get(http, f"/status/{pushed[4]}")
    rest = await get(http, f"/jobs?limit=1000&before={page['next']}")
    assert [job["id"] for job in rest["jobs"]] == pushed[2::-1]
    assert rest["next"] is None
    async with http.post("/push", params={"input": "x", "tag": "a b"}) as response:
        tagged = (await response.json())["id"]
    assert await ids(http, "?tag=a%20b") == [tagged]
    await stream.claim("w", 1)
    assert await ids(http, "?status=processing") == pushed[:1]
    assert await ids(http, "?status=queued&limit=1") == [tagged]
    assert await ids(http, "?before=0-0.1.") == []


async def test_a_deleted_job_is_unknown(http: aiohttp.ClientSession, stream: Stream) -> None:
    running, done = await push(http), await push(http)
    await stream.claim("w", 2)
    await stream.finish("w", [Finish(done, 1, "finished", b"1", 60_000)])
    for job_id in (running, done):
        async with http.delete(f"/jobs/{job_id}") as response:
            assert (response.status, await response.read()) == (204, b"")
        for path in ("status", "data", "events"):
            assert await status_of(http.get(f"/{path}/{job_id}")) == 404
        assert await status_of(http.delete(f"/jobs/{job_id}")) == 404
    assert await ids(http) == []
    assert await stream.renew("w", [(running, 1)]) == [running], "the worker is told to stop"


async def test_a_purge_deletes_jobs_of_a_status(http: aiohttp.ClientSession, stream: Stream) -> None:
    running = await push(http)
    await stream.claim("w", 1)
    async with http.post("/batches?tag=a", json=[*range(1200)]) as response:
        assert response.status == 202
    other = await push(http)
    async with http.post("/jobs/purge?status=queued&tag=a") as response:
        assert await response.json() == {"purged": 1200}
    assert await ids(http) == [other, running]
    async with http.post("/jobs/purge?status=queued") as response:
        assert await response.json() == {"purged": 1}
    assert await ids(http) == [running]


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/jobs?status=done", ["status"]),
        ("GET", "/jobs?limit=0", ["limit"]),
        ("GET", "/jobs?limit=1001", ["limit"]),
        ("GET", "/jobs?before=1-1", ["before"]),
        ("GET", "/jobs?before=", ["before"]),
        ("GET", "/jobs?after=1", ["after"]),
        ("POST", "/jobs/purge", ["status"]),
        ("POST", "/jobs/purge?status=", ["status"]),
    ],
)
async def test_a_bad_query_is_named(http: aiohttp.ClientSession, method: str, path: str, names: list[str]) -> None:
    async with http.request(method, path) as response:
        document: dict[str, Any] = await response.json()
    assert (document["status"], document["parameters"]) == (400, names)


async def test_a_key_lists_and_deletes_its_own(settings: StreamSettings, stream: Stream) -> None:
    keys = ["key-0123456789abcdef", "key-fedcba9876543210"]
    ours, others = ({"Authorization": f"Bearer {key}"} for key in keys)
    async with GatewayProcess(settings, API_KEYS=",".join(keys)) as gateway:
        http = gateway.http
        mine, theirs = await push(http, **ours), await push(http, **others)
        assert await ids(http, **ours) == [mine]
        assert await ids(http, **others) == [theirs]
        assert (await problem(await http.delete(f"/jobs/{theirs}", headers=ours)))[0] == 404
        async with http.post("/jobs/purge?status=queued", headers=ours) as response:
            assert await response.json() == {"purged": 1}
        assert await ids(http, **others) == [theirs]
        assert (await problem(await http.get("/jobs")))[0] == 401
