"""`?wait=` and `Prefer: wait=N`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

import pytest

from gateway.waits.waiting import Waiters
from tests.gateway.service import GatewayProcess, get, problem, push, status_of
from workers.stream import Finish, NewJob, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from gateway.http.request import HttpRequest
    from tests.servers import Server
    from workers.stream import JobView, StreamSettings

RESULT = b'{"output":"HELLO","input":"hello"}'
LONG_S = 60


async def finish(stream: Stream, job_id: str, result: bytes = RESULT) -> None:
    [job] = await stream.claim("w", 1)
    assert job.id == job_id
    assert await stream.finish("w", [Finish(job_id, job.attempt, "finished", result, 60_000)]) == [True]


async def waiting(http: aiohttp.ClientSession, count: int) -> None:
    """Returns when the gateway says that `count` requests wait."""
    async with asyncio.timeout(20):
        while f"leadtime_waiters {float(count)}\n" not in await (await http.get("/metrics")).text():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_status_and_data_answer_when_the_job_ends(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(http)
    status = asyncio.create_task(get(http, f"/status/{job_id}?wait={LONG_S}"))
    data = asyncio.create_task(get(http, f"/data/{job_id}?wait={LONG_S}"))
    await waiting(http, 2)
    assert not status.done()
    await finish(stream, job_id)
    async with asyncio.timeout(20):
        assert (await status)["status"] == "finished"
        assert (await data)["output"] == "HELLO"
    await waiting(http, 0)


async def test_push_answers_with_the_result(http: aiohttp.ClientSession, stream: Stream) -> None:
    pushing = asyncio.create_task(http.post(f"/push?input=hello&wait={LONG_S}"))
    await waiting(http, 1)
    async with asyncio.timeout(20):
        while not (claimed := await stream.claim("w", 1)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    [job] = claimed
    await stream.finish("w", [Finish(job.id, 1, "finished", RESULT, 60_000)])
    async with asyncio.timeout(20), await pushing as response:
        document = await response.json()
    assert response.status == 200
    assert response.headers["Location"] == f"/status/{job.id}"
    assert (document["id"], document["status"]) == (job.id, "finished")
    assert (document["output"], document["input"]) == ("HELLO", "hello")


@pytest.mark.parametrize("is_large", [False, True])
async def test_a_push_that_waits_answers_with_what_it_was_pushed_with(
    http: aiohttp.ClientSession, stream: Stream, is_large: bool
) -> None:
    path = f"/push?input=hello&tag=red&priority=high&wait={LONG_S}"
    pushing = asyncio.create_task(http.post(path))
    await waiting(http, 1)
    result = b'{"tag":"mine"%b}' % (b',"text":"%b"' % (b"x" * 2_000_000) if is_large else b"")
    async with asyncio.timeout(20):
        while not (claimed := await stream.claim("w", 1)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    [job] = claimed
    await stream.finish("w", [Finish(job.id, 1, "finished", result, 60_000)])
    document = await (await pushing).json()

    assert (document["tag"], document["priority"]) == ("mine", "high")
    assert (document["_job"]["tag"], document["_job"]["priority"], document["_job"]["id"]) == ("red", "high", job.id)


async def test_after_the_wait_the_answer_is_what_there_is(http: aiohttp.ClientSession) -> None:
    async with http.post("/push?input=hello&wait=0.1") as response:
        document = await response.json()
    assert response.status == 202
    assert document["status"] == "queued"
    job_id = document["id"]
    assert (await get(http, f"/status/{job_id}?wait=0.1"))["status"] == "queued"
    assert await problem(await http.get(f"/data/{job_id}?wait=0.1")) == (404, "job result not found")
    await waiting(http, 0)


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_any_end_is_an_end(http: aiohttp.ClientSession, stream: Stream, how: str) -> None:
    job_id = await push(http)
    status = asyncio.create_task(get(http, f"/status/{job_id}?wait={LONG_S}"))
    data = asyncio.create_task(http.get(f"/data/{job_id}?wait={LONG_S}"))
    await waiting(http, 2)
    if how == "failed":
        await stream.claim("w", 1)
        await stream.finish("w", [Finish(job_id, 1, "failed", b'{"type":"E","message":"m"}', 60_000)])
    else:
        assert await status_of(http.post(f"/cancel/{job_id}")) == 200
    async with asyncio.timeout(20):
        assert (await status)["status"] == how
        document = await (await data).json()
    assert (document["detail"], document["job_status"]) == ("job result not found", how)


async def test_prefer(http: aiohttp.ClientSession) -> None:
    job_id = await push(http)
    started_s = time.monotonic()
    async with http.get(f"/status/{job_id}", headers={"Prefer": "respond-async, WAIT=1; x=y"}) as response:
        assert response.headers["Preference-Applied"] == "wait=1"
        assert (await response.json())["status"] == "queued"
    assert time.monotonic() - started_s > 0.9
    async with http.post("/push?input=x", headers={"Prefer": "wait=1"}) as response:
        assert response.status == 202
        assert response.headers["Preference-Applied"] == "wait=1"
    for ignored in ("wait", "wait=x", "wait=-1", "waiting=1", "respond-async", ""):
        async with http.get(f"/status/{job_id}", headers={"Prefer": ignored}) as response:
            assert response.status == 200
            assert "Preference-Applied" not in response.headers


@pytest.mark.parametrize(
    "wait", ["x", "-1", "", "nan", "inf", "1e3", "1e999", "301", "99999999999999999999", "1 ", "1,5"]
)
async def test_bad_waits(http: aiohttp.ClientSession, wait: str) -> None:
    job_id = await push(http)
    expected = (400, "wait must be a number of seconds from 0 to 300")
    for path in (f"/status/{job_id}", f"/data/{job_id}"):
        assert await problem(await http.get(path, params={"wait": wait})) == expected
    assert await problem(await http.post("/push", params={"input": "x", "wait": wait})) == expected


async def test_nothing_is_pushed_with_a_bad_wait(http: aiohttp.ClientSession, stream: Stream) -> None:
    async with http.post("/push?input=x&wait=x") as response:
        assert (response.status, (await response.json())["parameters"]) == (400, ["wait"])
    assert (await stream.counts()).outstanding == 0


async def test_a_client_that_disconnects_frees_its_waiter(http: aiohttp.ClientSession, gateway: GatewayProcess) -> None:
    job_id = await push(http)
    for request in (f"GET /status/{job_id}?wait={LONG_S}", f"POST /push?input=x&wait={LONG_S}"):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"{request} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await writer.drain()
        await waiting(http, 1)
        writer.transport.abort()
        await waiting(http, 0)


async def test_waiters_are_limited(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings, MAX_WAITERS="2") as gateway:
        http = gateway.http
        job_id = await push(http)
        tasks = [asyncio.create_task(get(http, f"/status/{job_id}?wait={LONG_S}")) for _ in range(2)]
        await waiting(http, 2)
        for response in (await http.get(f"/status/{job_id}?wait=1"), await http.post("/push?input=x&wait=1")):
            assert await problem(response) == (503, "too many requests wait already")
            assert response.headers["Retry-After"]
        assert (await stream.counts()).outstanding == 1
        assert (await get(http, f"/status/{job_id}"))["status"] == "queued"
        await finish(stream, job_id)
        async with asyncio.timeout(20):
            assert {task["status"] for task in await asyncio.gather(*tasks)} == {"finished"}


async def test_a_gateway_that_stops_answers_its_waiters(settings: StreamSettings) -> None:
    async with GatewayProcess(settings) as gateway:
        job_id = await push(gateway.http)
        status = asyncio.create_task(get(gateway.http, f"/status/{job_id}?wait={LONG_S}"))
        await waiting(gateway.http, 1)
        assert await asyncio.to_thread(gateway.stop) == 0
        async with asyncio.timeout(20):
            assert (await status)["status"] == "queued"


async def test_waiters_read_nothing_while_they_wait(
    http: aiohttp.ClientSession, stream: Stream, server: Server
) -> None:
    ids = [await push(http) for _ in range(20)]
    tasks = [asyncio.create_task(get(http, f"/status/{job_id}?wait={LONG_S}")) for job_id in ids]
    await waiting(http, 20)

    async def views() -> int:
        stats = await stream.redis.info("commandstats")
        return sum(int(value["calls"]) for name, value in stats.items() if name == "cmdstat_hmget")

    # Each looks once when it begins to wait. What runs then are the sweeps: less than one look per waiter and second.
    async with asyncio.timeout(20):
        looks = 20
        while looks >= 20:
            before = await views()
            await asyncio.sleep(1)
            looks = await views() - before
    clients = await stream.redis.client_list(_type="pubsub")
    channels = sorted(client["sub"] for client in clients if client["sub"] != "0")
    assert channels == ["1", "2"]  # of those that tell; of ended jobs and of answers to pushes
    for _ in ids:
        [job] = await stream.claim("w", 1)
        await stream.finish("w", [Finish(job.id, 1, "finished", RESULT, 60_000)])
    async with asyncio.timeout(20):
        assert {task["status"] for task in await asyncio.gather(*tasks)} == {"finished"}


class CountingStream(Stream):
    """Counts how often a job was looked at."""

    looks = 0

    async def view_small(self, job_id: str) -> JobView | None:
        """Counts, and looks."""
        self.looks += 1
        return await super().view_small(job_id)


class PatientRequest:
    """A request whose client stays."""

    has_left = gone = half_closed = False

    def on_leave(self, call: Callable[[], object]) -> None:
        """Never calls it."""


@pytest.mark.parametrize(("output", "looks"), [(b'"small"', 0), (b'"%b"' % (b"large" * 5000), 1)])
async def test_a_job_that_is_pushed_with_a_wait_is_looked_at_only_if_its_result_is_large(
    settings: StreamSettings, stream: Stream, output: bytes, looks: int
) -> None:
    counting = CountingStream(settings)
    await counting.open()
    waiters = Waiters(counting, 1)
    subscription, _ = waiters.subscriptions()
    listening = asyncio.create_task(subscription.run())
    await subscription.subscribed.wait()
    request = cast("HttpRequest", PatientRequest())

    with waiters.place() as waiter, waiters.ended.listening(waiter, "job-7"):
        await counting.push(NewJob("job-7", b'["hello"]', waits_at=waiters.name))
        await finish(stream, "job-7", output)
        view = await waiters.view(waiter, request, "job-7", LONG_S, with_result=True, is_new=True)

    assert view is not None
    assert (view.result, counting.looks) == (output, looks)
    assert view == await stream.view_small("job-7")
    listening.cancel()
    await asyncio.wait([listening])
    await counting.close()
