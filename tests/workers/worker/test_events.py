"""What jobs tell on its way through a worker: at once, in order, each in its run, and never in the model's way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

import orjson

from tests.queues import opened, queue_name
from tests.workers.service import PATIENCE_S, WorkerProcess, push, until, until_ended
from tests.workers.stream.actions import accept
from workers.settings import WorkerSettings
from workers.stream import JobEvent, Outage, Status, Stream
from workers.telemetry.metrics import WorkerMetrics
from workers.worker.events import Events, Outbox
from workers.worker.life import Life
from workers.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

    from tests.servers import Server

UNSTEADY = "tests.workers.model_host.calls.tellers:Unsteady"


def shown(events: list[JobEvent]) -> list[tuple[str, Any]]:
    return [(event.kind, orjson.loads(event.value)) for event in events]


async def ask(stream: Stream, *script: Any) -> str:
    """The id of a new job of the model."""
    return await push(stream, "predict", orjson.dumps([script]))


async def followed(stream: Stream, job_id: str) -> list[JobEvent]:
    """All that a reader sees who reads from the beginning until the job's end."""
    seen: list[JobEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        while not (seen and seen[-1].is_last):
            seen += await stream.events(job_id, seen[-1].entry if seen else "", wait_s=PATIENCE_S)
    return seen


async def test_events_of_jobs_on_a_real_worker(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    settings = {"MODEL": UNSTEADY, "MAX_EVENTS": "3000"}
    with WorkerProcess(tmp_path, one_settings, **settings):
        job_id = await ask(one_stream, "waits_for", str(tmp_path / "go"))
        seen = await one_stream.events(job_id, wait_s=PATIENCE_S)
        while len(seen) < 3:
            seen += await one_stream.events(job_id, seen[-1].entry, wait_s=PATIENCE_S)
        assert ("partial", "first") in shown(seen), "what is yielded is there while the job runs"
        view = await one_stream.view(job_id)
        assert view is not None
        assert (view.status, view.progress) == (Status.PROCESSING, {"fraction": 0.5, "text": "half"})
        (tmp_path / "go").touch()
        kinds = shown(await followed(one_stream, job_id))
        assert [event for event in kinds if event[0] != "progress"] == [
            ("begin", 1), ("partial", "first"), ("partial", "second"), ("end", "finished"),
        ]  # fmt: skip
        assert (await until_ended(one_stream, job_id)).result == b'["first","second"]'

        # An attempt that is run again begins anew.
        job_id = await ask(one_stream, "crashes_first", 5)
        seen = await followed(one_stream, job_id)
        assert shown(await one_stream.events(job_id))[0] == ("begin", 2)
        runs = [event.value for event in seen if event.kind == "begin"]
        assert runs in ([b"1", b"2"], [b"2"])
        last_run = seen[-1].entry.partition("-")[0]
        last = shown([event for event in seen if event.entry.startswith(last_run)])
        assert [value for kind, value in last if kind == "partial"] == [0, 1, 2, 3, 4]

        # One that raises keeps what it has told.
        seen = await followed(one_stream, await ask(one_stream, "fails_after", 10))
        assert shown(seen) == [("begin", 1), *(("partial", n) for n in range(10)), ("end", "failed")]

        # Of a great many events the last are kept, and the result has them all.
        job_id = await ask(one_stream, "items", 100_000)
        view = await until_ended(one_stream, job_id)
        assert orjson.loads(view.result or b"") == list(range(100_000))
        kept = [event.value for event in await one_stream.events(job_id, count=5000) if event.kind == "partial"]
        assert 500 < len(kept) <= 3000
        assert kept == [b"%d" % n for n in range(100_000 - len(kept), 100_000)]

        # One that is cancelled tells nothing more.
        job_id = await ask(one_stream, "endless", str(tmp_path / "pid"))
        await until((tmp_path / "pid").exists)
        assert await one_stream.events(job_id, wait_s=PATIENCE_S)
        assert await one_stream.cancel(job_id) == "cancelled"
        assert shown(await followed(one_stream, job_id))[-1] == ("end", "cancelled")
        await until_ended(one_stream, await ask(one_stream, "echo", 1))
        assert (await one_stream.events(job_id, count=100_000))[-1].is_last


async def test_without_events_a_generator_does_as_before(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path, one_settings, MODEL=UNSTEADY, MAX_EVENTS="0"):
        job_id = await ask(one_stream, "items", 5)
        assert (await until_ended(one_stream, job_id)).result == b"[0,1,2,3,4]"
        assert await one_stream.events(job_id) == []


# without a model


@contextlib.asynccontextmanager
async def telling(server: Server, **settings: Any) -> AsyncIterator[tuple[Stream, Events]]:
    chosen = WorkerSettings(redis_url=server.url, queue_name=queue_name(), **settings)
    async with opened(chosen) as stream:
        session = Session("w", stream, Outage(lambda: None), WorkerMetrics(), chosen, Life(1))
        events = Events(session)
        try:
            yield stream, events
        finally:
            await events.close()


async def claimed(stream: Stream, count: int) -> list[str]:
    await accept(stream, count)
    return [job.id for job in await stream.claim("w", count)]


async def test_events_of_many_jobs_share_round_trips(valkey: Server) -> None:
    async with telling(valkey) as (stream, events):
        jobs = await claimed(stream, 50)
        before = (await stream.redis.info("commandstats"))["cmdstat_fcall"]["calls"]
        for number in range(40):
            for job_id in jobs:
                events.tell(job_id, 1, "partial", b"%d" % number)
            await asyncio.sleep(0)
        for job_id in jobs:
            outbox = events.take(job_id, 1)
            assert outbox is not None
            await outbox.delivered()
        calls = (await stream.redis.info("commandstats"))["cmdstat_fcall"]["calls"] - before
        assert calls <= 50, "for 2,000 events: one at most for each turn of the loop, and what is left"
        for job_id in jobs:
            found = await stream.events(job_id)
            assert [event.number for event in found] == list(range(41))
            assert [event.value for event in found[1:]] == [b"%d" % number for number in range(40)]
        assert events.take(jobs[0], 1) is None


async def test_what_a_silent_server_does_not_get_is_bounded(start_server: Callable[[], Server]) -> None:
    server = start_server()
    async with telling(server, max_events=100, redis_timeout_s=0.2) as (stream, events):
        (job_id,) = await claimed(stream, 1)
        server.send(signal.SIGSTOP)
        try:
            for number in range(1000):
                events.tell(job_id, 1, "progress", b"%d" % number)
                events.tell(job_id, 1, "partial", b"%d" % number)
            await asyncio.sleep(0.5)
        finally:
            server.send(signal.SIGCONT)
        outbox = events.take(job_id, 1)
        assert outbox is not None
        async with asyncio.timeout(PATIENCE_S):
            await outbox.delivered()
        found = await stream.events(job_id)
        assert found[-1] == found[-1]._replace(kind="progress", value=b"999")
        partials = [event for event in found if event.kind == "partial"]
        assert [event.value for event in partials] == [b"%d" % n for n in range(1000 - len(partials), 1000)]
        assert 80 < len(partials) <= 100


async def test_events_that_the_server_refuses_hold_up_nothing(
    start_server: Callable[[], Server], caplog: pytest.LogCaptureFixture
) -> None:
    async with telling(start_server()) as (stream, events):
        (job_id,) = await claimed(stream, 1)
        await stream.redis.config_set("maxmemory", "1")
        events.tell(job_id, 1, "log", b'"x"')
        outbox = events.take(job_id, 1)
        assert outbox is not None
        async with asyncio.timeout(PATIENCE_S):
            await outbox.delivered()
        assert "events of 1 jobs are lost, the server refuses them" in caplog.text


def test_an_outbox_keeps_what_the_stream_would_keep() -> None:
    outbox = Outbox("id", 1, most=3, most_bytes=10)
    for text in (b"1", b"2", b"3", b"4"):
        outbox.add("partial", text)
    assert outbox.take(2, 1000) == ("id", 1, 2, [("partial", b"2"), ("partial", b"3")])
    outbox.add("progress", b"0.1")
    outbox.add("progress", b"0.2")
    outbox.add("log", b"12345678")
    assert outbox.take(9, 1000) == ("id", 1, 4, [("partial", b"4"), ("log", b"12345678"), ("progress", b"0.2")])
    assert not outbox.is_filled
    outbox.add("partial", b"x" * 6)
    outbox.add("partial", b"y" * 6)
    outbox.add("partial", b"z" * 60)
    assert outbox.take(9, 1000) == ("id", 1, 9, [("partial", b"z" * 60)])
