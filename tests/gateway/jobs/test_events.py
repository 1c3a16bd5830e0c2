"""A job's events as server-sent events: all of them, in order, once, up to the job's end."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.jobs import events as gateway_events
from gateway.waits import heartbeat
from tests.gateway.service import PATIENCE_S, GatewayProcess, problem, push, serving
from tests.sse import EVENTS, ReadEvent, read
from tests.workers.service import WorkerProcess, until
from workers.settings import WorkerSettings
from workers.stream import Finish, Stream
from workers.stream.events import Telling

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from workers.stream import Claimed, StreamSettings

RESULT = b'{"output":["a","b"]}'


async def all_of(response: aiohttp.ClientResponse) -> list[ReadEvent]:
    """The events up to the answer's end."""
    async with asyncio.timeout(PATIENCE_S), response:
        return [event async for event in read(response)]


async def tell(stream: Stream, job: Claimed, first: int, *values: bytes) -> None:
    """Has the worker `w` tell partial results of its job, of which `first` is the number of the first."""
    telling = Telling(job.id, job.attempt, first, [("partial", value) for value in values])
    assert await stream.tell("w", [telling]) == [True]


async def finish(stream: Stream, job: Claimed) -> None:
    assert await stream.finish("w", [Finish(job.id, job.attempt, "finished", RESULT, 60_000)]) == [True]


async def test_a_client_gets_each_event_as_it_comes_and_the_result_at_the_end(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    job_id = await push(http)
    async with asyncio.timeout(PATIENCE_S), http.get(f"/events/{job_id}", headers=EVENTS) as response:
        assert response.headers["Cache-Control"] == "no-store"
        events = read(response)
        [job] = await stream.claim("w", 1)
        await tell(stream, job, 1, b'"a\\nb"')
        begin, first = await anext(events), await anext(events)
        await tell(stream, job, 2, b"2", b"3")
        second, third = await anext(events), await anext(events)
        await finish(stream, job)
        end = await anext(events)
        assert [event async for event in events] == []

    assert (begin.kind, begin.value) == ("begin", 1)
    assert [event[1:] for event in (first, second, third)] == [("partial", "a\nb"), ("partial", 2), ("partial", 3)]
    assert end.kind == "end"
    assert (end.value["id"], end.value["status"], end.value["output"]) == (job_id, "finished", ["a", "b"])


@pytest.mark.parametrize("how", ["Last-Event-ID", "after"])
async def test_a_client_that_comes_back_goes_on_where_it_was(
    http: aiohttp.ClientSession, stream: Stream, how: str
) -> None:
    job_id = await push(http)
    [job] = await stream.claim("w", 1)
    await tell(stream, job, 1, b"1", b"2", b"3")
    await finish(stream, job)
    events = await all_of(await http.get(f"/events/{job_id}", headers=EVENTS))
    assert [event.kind for event in events] == ["begin", "partial", "partial", "partial", "end"]

    headers = {"Last-Event-ID": events[2].id} if how == "Last-Event-ID" else {}
    path = f"/events/{job_id}" if headers else f"/events/{job_id}?after={events[2].id}"

    assert await all_of(await http.get(path, headers=EVENTS | headers)) == events[3:]


@pytest.mark.parametrize("how", ["finished", "cancelled"])
async def test_a_job_that_tells_nothing_has_an_end(http: aiohttp.ClientSession, stream: Stream, how: str) -> None:
    job_id = await push(http)
    listening = asyncio.create_task(all_of(await http.get(f"/events/{job_id}", headers=EVENTS)))
    if how == "finished":
        [job] = await stream.claim("w", 1)
        await finish(stream, job)
    else:
        await stream.cancel(job_id)

    [end] = await listening

    assert (end.kind, end.value["status"]) == ("end", how)
    assert await all_of(await http.get(f"/events/{job_id}", headers=EVENTS)) == [end]


async def test_a_push_answers_with_its_own_events(http: aiohttp.ClientSession, stream: Stream) -> None:
    async with http.post("/push?input=hello", headers=EVENTS | {"Idempotency-Key": "key-7"}) as response:
        [job] = await stream.claim("w", 1)
        assert response.headers["Location"] == f"/status/{job.id}"
        await tell(stream, job, 1, b'"told"')
        await finish(stream, job)
        events = await all_of(response)

    assert [event.value for event in events[:2]] == [1, "told"]
    assert events[2].value["output"] == ["a", "b"]
    # The same key stands for the same job.
    assert await all_of(await http.post("/push?input=hello", headers=EVENTS | {"Idempotency-Key": "key-7"})) == events


async def test_events_of_many_pages_come_without_a_wait(http: aiohttp.ClientSession, stream: Stream) -> None:
    job_id = await push(http)
    [job] = await stream.claim("w", 1)
    large = orjson.dumps("x" * 300_000)
    await tell(stream, job, 1, *(b"%d" % number for number in range(250)))
    await tell(stream, job, 251, *[large] * 5)
    async with asyncio.timeout(PATIENCE_S), http.get(f"/events/{job_id}", headers=EVENTS) as response:
        events = read(response)
        found = [(await anext(events)).value for _ in range(1 + 250 + 5)]

    assert found == [1, *range(250), *[orjson.loads(large)] * 5]


async def test_what_can_not_be_is_refused(http: aiohttp.ClientSession) -> None:
    job_id = await push(http)
    of_job = f"/events/{job_id}"

    assert (await problem(await http.get("/events/nobody", headers=EVENTS)))[0] == 404
    assert (await problem(await http.get(of_job, headers=EVENTS | {"Last-Event-ID": "x"})))[0] == 400
    assert (await problem(await http.get(f"{of_job}?after=x", headers=EVENTS)))[0] == 400
    assert await problem(await http.post("/push?input=x&wait=1", headers=EVENTS)) == (
        400,
        "text/event-stream lasts until the job has ended: leave out wait",
    )


async def test_a_listener_takes_a_waiters_place_and_a_stopping_gateway_lets_it_go(
    settings: StreamSettings, stream: Stream
) -> None:
    async with GatewayProcess(settings, MAX_WAITERS="1") as gateway:
        job_id = await push(gateway.http)
        listening = await gateway.http.get(f"/events/{job_id}", headers=EVENTS)
        assert (await problem(await gateway.http.post("/push?input=x", headers=EVENTS)))[0] == 503
        assert (await stream.counts()).waiting == 1

        assert await asyncio.to_thread(gateway.stop) == 0

        assert await all_of(listening) == []


async def test_a_connection_on_which_nothing_happens_has_comments(
    settings: StreamSettings, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "QUIET_S", 0.05)
    job_id = await push(http)
    async with (
        serving(settings) as base,
        asyncio.timeout(PATIENCE_S),
        http.get(f"{base}/events/{job_id}", headers=EVENTS) as response,
    ):
        assert await response.content.readline() == b": nothing new\n"


async def test_a_client_that_reads_slowly_is_cut_off_and_goes_on_where_it_was(
    settings: StreamSettings, stream: Stream, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_events, "SLOW_SHARE", 0.005)
    job_id = await push(http)
    [job] = await stream.claim("w", 1)
    for first in range(1, 13, 4):
        await tell(stream, job, first, *(orjson.dumps([number, "x" * 200_000]) for number in range(first, first + 4)))
    await finish(stream, job)
    async with serving(settings, write_timeout_s=60) as base, asyncio.timeout(PATIENCE_S):

        async def is_cut() -> bool:
            async with http.get(f"{base}/metrics") as response:
                return 'reason="slow listener"' in await response.text()

        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", int(base.rpartition(":")[2])))
            head = f"GET /events/{job_id} HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
            slow.sendall(head.encode())
            await until(is_cut)
            monkeypatch.setattr(gateway_events, "SLOW_SHARE", 0.5)
            answer = (await asyncio.to_thread(slow.makefile("rb").read)).decode()
        assert "event: end" not in answer
        assert 'event: cut\ndata: {"reason":"slow",' in answer
        ids = re.findall(r"^id: (.*)$", answer, re.MULTILINE)
        rest = await all_of(await http.get(f"{base}/events/{job_id}", headers=EVENTS | {"Last-Event-ID": ids[-1]}))
    assert [int(place.rpartition("-")[2]) for place in [*ids, *(event.id for event in rest)]] == list(range(14))
    assert rest[-1].kind == "end"


async def test_clients_that_go_give_their_places_back(settings: StreamSettings, http: aiohttp.ClientSession) -> None:
    job_id = await push(http)
    async with serving(settings, max_waiters=2) as base, asyncio.timeout(PATIENCE_S):
        for _ in range(5):
            listening = await http.get(f"{base}/events/{job_id}", headers=EVENTS)
            listening.close()

            async def is_free() -> bool:
                async with http.get(f"{base}/metrics") as response:
                    return "leadtime_waiters 0.0\n" in await response.text()

            await until(is_free)


async def test_what_a_generator_yields_reaches_the_client_while_it_runs(
    settings: StreamSettings, stream: Stream, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    model = tmp_path / "counts.py"
    model.write_text(
        "import pathlib, time\n"
        "class Counts:\n"
        "    def predict(self, input):\n"
        "        yield 'first'\n"
        "        while not pathlib.Path(input).exists():\n"
        "            time.sleep(0.01)\n"
        "        yield 'last'\n"
    )
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, lease_s=60)
    with WorkerProcess(tmp_path, own, MODEL=f"{model}:Counts") as worker:
        async with asyncio.timeout(PATIENCE_S), http.post("/push", json=str(gate), headers=EVENTS) as response:
            events = read(response)
            assert (await anext(events)).kind == "begin"
            assert (await anext(events)).value == "first"
            gate.touch()
            assert (await anext(events)).value == "last"
            end = await anext(events)
        assert end.value["output"] == ["first", "last"]
        assert await worker.stopped() == 0
