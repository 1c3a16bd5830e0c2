"""Overview and history of a real gateway and a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from gateway.page.recorder import Recorder
from gateway.waits.ends import RecentEnds
from tests.gateway.service import PATIENCE_S, GatewayProcess, get, problem, push
from workers.stream import HISTORY_STEPS, Finish, NewJob, Stream

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import StreamSettings


async def event_of(response: aiohttp.ClientResponse) -> tuple[str, Any]:
    """The next event."""
    kind = ""
    async with asyncio.timeout(PATIENCE_S):
        async for line in response.content:
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            if line.startswith(b"data: "):
                return kind, orjson.loads(line[6:])
    raise AssertionError("the answer ended")


async def test_the_overview_changes_as_jobs_come(http: aiohttp.ClientSession, stream: Stream) -> None:
    await stream.register("worker-1", 60, {"state": "starting", "starting_since": 5, "concurrency": 1, "job": ""})
    name = stream.settings.queue_name

    first = (await get(http, "/overview"))["queues"][name]
    assert first["workers"] == {"worker-1": {"state": "starting", "since": 5, "running": 0, "slots": 1}}

    async with http.get("/overview", headers={"Accept": "text/event-stream"}) as response:
        kind, whole = await event_of(response)
        assert (kind, whole["reachable"]) == ("overview", True)
        job_id = await push(http)
        changed = whole["queues"][name] if whole["queues"][name]["waiting"] == 1 else {}
        while changed.get("waiting") != 1:  # what was told first may be a second old, or of another test
            kind, change = await event_of(response)
            changed = change["patch"].get("queues", {}).get(name, {})

    [claimed] = await stream.claim("worker-1", 1)
    now = (await get(http, "/overview"))["queues"][name]
    assert (claimed.id, now["waiting"], now["running"], "oldest_ms" in now) == (job_id, 0, 1, False)
    assert now["workers"]["worker-1"]["job"] == job_id


async def test_the_oldest_wait_is_known_where_jobs_have_priorities(http: aiohttp.ClientSession, stream: Stream) -> None:
    async def pushed(priority: str) -> str:
        async with http.post("/push", params={"input": "a", "priority": priority}) as response:
            return str((await response.json())["id"])

    async def oldest_ms() -> Any:
        return (await get(http, "/overview"))["queues"][stream.settings.queue_name].get("oldest_ms")

    first = await pushed("low")
    await stream.register("worker-1", 60, {"state": "busy", "job": ""})
    since_ms = await oldest_ms()
    await asyncio.sleep(1.1)  # an overview is a second old at most
    high = await pushed("high")
    [claimed] = await stream.claim("worker-1", 1)
    assert claimed.id == high
    assert since_ms is not None
    assert await oldest_ms() == since_ms
    assert (await stream.overviews.measures(1)).longest_wait_s > 1
    [claimed] = await stream.claim("worker-1", 1)
    await asyncio.sleep(1.1)
    assert claimed.id == first
    assert await oldest_ms() is None
    assert (await stream.overviews.measures(1)).longest_wait_s == 0


async def test_a_scrape_reads_in_one_call_what_others_read_in_several(stream: Stream) -> None:
    await stream.push_many([NewJob("job-1", b"[1]"), NewJob("job-2", b"[2]")])
    await stream.register("worker-1", 60, {"state": "idle"})
    await stream.claim("worker-1", 1)
    await stream.redis.set(f"{stream.prefix}:historian", "gateway-1")
    now_ms = (await stream.overviews.read()).now_ms
    assert await stream.overviews.write("gateway-1", now_ms, b'{"waiting": 7}')

    counts, longest_wait_s, history = await stream.overviews.measures(6)

    assert counts == await stream.counts()
    assert (counts.waiting, counts.pending, counts.workers) == (1, 1, 1)
    assert longest_wait_s <= (await stream.overviews.measures(6)).longest_wait_s
    assert history == await stream.overviews.recent_history(6) == [(now_ms, b'{"waiting": 7}')]


async def test_one_gateway_writes_the_history_and_another_takes_over(stream: Stream) -> None:
    ends = RecentEnds()
    writer, other = Recorder(stream, ends, "gateway-1"), Recorder(stream, RecentEnds(), "gateway-2")
    assert await writer.record()
    assert not await other.record()
    assert not await stream.overviews.write("gateway-2", 2**42, b"{}")

    await stream.redis.delete(f"{stream.prefix}:historian")  # as when its lease has run out

    assert await stream.overviews.leads("gateway-2")
    assert await stream.overviews.write("gateway-2", 2**42, b'{"waiting": 7}')
    assert await stream.overviews.write("gateway-2", 2**42, b'{"waiting": 7}'), "sent again, as its reply was lost"
    assert not await stream.overviews.write("gateway-2", 2**42, b"{}"), "a time has one step"
    assert (await stream.overviews.history(2**42)) == [(2**42, b'{"waiting": 7}')]


async def test_the_history_takes_fixed_space(stream: Stream) -> None:
    assert await stream.overviews.leads("gateway-1")
    key = f"{stream.prefix}:history"
    text = "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], i .. '-0', 'step', '{}') end"
    await stream.redis.execute_command("EVAL", text, 1, key, HISTORY_STEPS)
    assert await stream.overviews.write("gateway-1", 10_000_000, b"{}")
    assert await stream.redis.xlen(key) == HISTORY_STEPS


async def test_the_history_tells_how_long_jobs_took(http: aiohttp.ClientSession, stream: Stream) -> None:
    ends = RecentEnds()
    recorder = Recorder(stream, ends, "gateway-1")
    await stream.redis.set(f"{stream.prefix}:historian", "gateway-1")
    job_id = await push(http)
    await stream.claim("worker-1", 1)
    await stream.finish("worker-1", [Finish(job_id, 1, "finished", b"1", 60_000)])
    ends.heard(job_id)

    assert await recorder.record()

    document = await get(http, "/history?seconds=60")
    point = document["points"][-1]
    assert (point["ended"], point["waiting"], document["step_s"]) == (0.1, 0, 10)
    assert point["latency_p50_s"] >= point["wait_p95_s"] >= 0
    assert (await problem(await http.get("/history?seconds=9")))[0] == 400
    assert (await problem(await http.get("/history?seconds=86401")))[0] == 400


async def test_dead_letters_of_a_kind_run_again(http: aiohttp.ClientSession, stream: Stream) -> None:
    kinds = ["OutOfLuck", "Other", "OutOfLuck"]
    ids = [await push(http, f"input {kind}") for kind in kinds]
    await stream.claim("worker-1", 3)
    failures = [
        Finish(job_id, 1, "failed", orjson.dumps({"type": kind, "message": "<b>no</b>"}), 60_000)
        for job_id, kind in zip(ids, kinds, strict=True)
    ]
    for failure in failures:  # one after the other, so that their order is known
        await stream.finish("worker-1", [failure])

    letters = await get(http, "/dead-letters")
    assert [one["id"] for one in letters["letters"]] == ids[::-1]
    assert letters["letters"][1]["error"] == {"type": "Other", "message": "<b>no</b>"}
    assert [one["id"] for one in (await get(http, "/dead-letters?type=Other"))["letters"]] == [ids[1]]
    assert (await get(http, f"/inputs/{ids[1]}"))["args"] == ["input Other"]
    async with http.post("/dead-letters/requeue?type=OutOfLuck") as response:
        assert await response.json() == {"requeued": 2}
    assert [one["id"] for one in (await get(http, "/dead-letters"))["letters"]] == [ids[1]]
    assert (await problem(await http.post("/dead-letters/requeue")))[0] == 400
    assert (await get(http, "/dead-letters?before=0-0"))["letters"] == []


async def test_a_key_sees_no_others_jobs_and_the_page_can_be_off(settings: StreamSettings, stream: Stream) -> None:
    keys = ["key-0123456789abcdef", "key-fedcba9876543210"]
    ours, others = ({"Authorization": f"Bearer {key}"} for key in keys)
    async with GatewayProcess(settings, API_KEYS=",".join(keys), UI="off") as gateway:
        http = gateway.http
        for path in ("/overview", "/history", "/dead-letters"):
            assert (await problem(await http.get(path)))[0] == 401
        for path in ("/", "/ui", "/ui/main.js"):
            assert (await problem(await http.get(path)))[0] == 404
        await stream.register("worker-1", 60, {"state": "idle", "ready_since": 5, "concurrency": 1, "job": ""})
        job_id = await push(http, **ours)
        await stream.claim("worker-1", 1)
        async with http.get("/overview", headers=ours) as response:
            worker = (await response.json())["queues"][stream.settings.queue_name]["workers"]["worker-1"]
        assert (worker["state"], "job" in worker) == ("busy", False)
        await stream.finish("worker-1", [Finish(job_id, 1, "failed", b'{"type":"A","message":""}', 60_000)])
        for headers, count in ((ours, 1), (others, 0)):
            async with http.get("/dead-letters", headers=headers) as response:
                assert len((await response.json())["letters"]) == count
        async with http.post("/dead-letters/requeue?type=A", headers=others) as response:
            assert await response.json() == {"requeued": 0}
        assert (await problem(await http.get(f"/inputs/{job_id}", headers=others)))[0] == 404
