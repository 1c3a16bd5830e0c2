"""Probes and metrics of a worker: what is true is said, and nothing that would kill a busy one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import pytest
from arq import Retry
from arq.worker import func
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Server, free_port, server_binaries
from tests.workers.service import push, run_burst, running, until, until_ended
from workers.telemetry.metrics import OUTCOMES, WorkerMetrics
from workers.telemetry.probe_site import ProbeFailed
from workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream


async def noop(ctx: dict[str, Any]) -> None: ...


@pytest.fixture
def probed(one_settings: WorkerSettings, tmp_path: Path) -> WorkerSettings:
    """Settings with both probes and a heartbeat that is soon stuck: after 1 + 5 x 0.2 s."""
    more = {"probe_port": free_port(), "ready_file": str(tmp_path / "ready"), "lease_s": 1.0, "redis_timeout_s": 0.2}
    return one_settings.model_copy(update=more)


async def status(settings: WorkerSettings, path: str) -> int:
    return (await answer(settings, path))[0]


async def answer(settings: WorkerSettings, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{settings.probe_port}{path}") as response,
    ):
        return response.status, await response.text()


async def until_listening(settings: WorkerSettings) -> None:
    """Returns when the port answers."""
    while True:
        try:
            await status(settings, "/healthz")
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.02)
        else:
            return


def samples(text: str) -> dict[str, float]:
    """Values by name, with the label's value behind it if there is one."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_ready_only_while_it_claims(probed: WorkerSettings, tmp_path: Path) -> None:
    file = tmp_path / "ready"
    loaded, in_shutdown = asyncio.Event(), asyncio.Event()

    async def startup(ctx: dict[str, Any]) -> None:
        await loaded.wait()

    async def wait(ctx: dict[str, Any]) -> None:
        await in_shutdown.wait()

    file.touch()
    async with running(probed, [func(wait, name="wait")], on_startup=startup, max_jobs=1) as worker:
        await until(lambda: not file.exists())
        await until_listening(probed)
        assert await answer(probed, "/readyz") == (503, '{"status": 503, "detail": "starting"}')
        assert await status(probed, "/healthz") == 200
        loaded.set()
        await until(file.exists)
        assert await answer(probed, "/readyz") == (200, '{"status": 200, "detail": "ready"}')
        worker.set_capacity(0)
        await until(lambda: not file.exists())
        assert await status(probed, "/readyz") == 503
        worker.set_capacity(1)
        await until(file.exists)
        assert await status(probed, "/none") == 404
    assert not file.exists()
    with pytest.raises(aiohttp.ClientConnectionError):
        await status(probed, "/readyz")


async def test_a_busy_worker_is_alive_and_ready(probed: WorkerSettings, one_stream: Stream) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def wait(ctx: dict[str, Any]) -> None:
        started.set()
        await go_on.wait()

    async with running(probed, [func(wait, name="wait")], max_jobs=1) as worker:
        await push(one_stream, "wait")
        await asyncio.wait_for(started.wait(), 10)
        await asyncio.sleep(1.5 * worker.heartbeat.limit_s)
        assert await status(probed, "/healthz") == 200
        assert await status(probed, "/readyz") == 200
        go_on.set()


async def test_a_stuck_heartbeat_fails_the_liveness_probe(probed: WorkerSettings) -> None:
    async def stuck(*_: Any) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async with running(probed, [noop]) as worker:
        await asyncio.wait_for(worker.ready.wait(), 10)
        assert await status(probed, "/healthz") == 200
        worker.stream.register = stuck  # type: ignore[method-assign,assignment]

        async def has_failed() -> bool:
            return await status(probed, "/healthz") == 503

        await until(has_failed)
        assert "the heartbeat is stuck: it did nothing for " in (await answer(probed, "/healthz"))[1]
        del worker.stream.register


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    data = tmp_path / "server"
    data.mkdir()
    server = Server(server_binaries()["valkey"], data)
    server.start()
    yield server
    server.kill()


async def test_the_server_away_is_no_reason_to_be_killed(own: Server, probed: WorkerSettings) -> None:
    settings = probed.model_copy(update={"redis_url": own.url})
    async with running(settings, [noop]) as worker:
        await asyncio.wait_for(worker.ready.wait(), 10)
        own.kill()
        await until(lambda: not worker.session.ready)
        await asyncio.sleep(2 * worker.heartbeat.limit_s)
        assert await status(settings, "/healthz") == 200
        assert await answer(settings, "/readyz") == (
            503,
            '{"status": 503, "detail": "the job stream can\'t be reached"}',
        )
        await asyncio.to_thread(own.start)

        async def is_ready() -> bool:
            return await status(settings, "/readyz") == 200

        await until(is_ready)


async def test_metrics(probed: WorkerSettings, one_stream: Stream) -> None:
    started = asyncio.Event()

    async def fail(ctx: dict[str, Any]) -> None:
        raise ValueError

    async def again(ctx: dict[str, Any]) -> None:
        if ctx["job_try"] == 1:
            raise Retry(defer=0)

    async def slow(ctx: dict[str, Any]) -> None:
        started.set()
        await asyncio.sleep(60)

    functions = [func(noop, name="noop"), func(fail, name="fail"), func(again, name="again"), func(slow, name="slow")]
    worker = Worker(functions, settings=probed, handle_signals=False)
    task = asyncio.create_task(worker.async_run())
    for name in ("noop", "noop", "fail", "again"):
        await until_ended(one_stream, await push(one_stream, name))
    cancelled = await push(one_stream, "slow")
    await asyncio.wait_for(started.wait(), 10)
    seen = samples((await answer(probed, "/metrics"))[1])
    assert seen["leadtime_worker_running_jobs"] == 1
    assert (seen["leadtime_worker_ready"], seen["leadtime_worker_loaded_models"]) == (1, 0)
    assert seen["leadtime_worker_heartbeat_age_seconds"] < worker.heartbeat.limit_s
    assert seen["process_resident_memory_bytes"] > 0
    await one_stream.cancel(cancelled)
    await until(lambda: worker.metrics.jobs["cancelled"] == 1)
    started.clear()
    await push(one_stream, "slow")
    await asyncio.wait_for(started.wait(), 10)
    await worker.close()
    await task
    seen = samples(worker.metrics.text().decode())
    counts = {outcome: seen[f"leadtime_worker_jobs_total {outcome}"] for outcome in OUTCOMES}
    assert counts == {"finished": 3, "failed": 1, "retried": 1, "released": 1, "cancelled": 1, "lost": 0}
    assert seen["leadtime_worker_attempt_seconds_count"] == 7
    assert seen["leadtime_worker_attempt_seconds_bucket +Inf"] == 7
    assert seen["leadtime_worker_queue_wait_seconds_count"] == 6  # one of the seven was a second attempt


async def test_two_workers_of_one_process_count_apart(one_settings: WorkerSettings, one_stream: Stream) -> None:
    await push(one_stream, "noop")
    functions = [func(noop, name="noop")]
    first = await run_burst(one_settings, functions)
    second = await run_burst(one_settings, functions)
    assert (first.metrics.jobs["finished"], second.metrics.jobs["finished"]) == (1, 0)


def test_waits_are_counted_in_buckets_of_seconds() -> None:
    metrics = WorkerMetrics()

    for seconds in (-1, 0.0005, 0.001, 0.3, 5000):
        metrics.waited(seconds)

    seen = samples(metrics.text().decode())
    name = "leadtime_worker_queue_wait_seconds_bucket"
    assert [seen[f"{name} {bound}"] for bound in ("0.001", "0.25", "0.5", "1800.0", "+Inf")] == [3, 3, 4, 4, 5]
    assert seen["leadtime_worker_queue_wait_seconds_sum"] == pytest.approx(5000.3015)


async def test_a_port_that_is_taken(probed: WorkerSettings) -> None:
    async with running(probed, [noop]) as worker:
        await asyncio.wait_for(worker.ready.wait(), 10)
        with pytest.raises(ProbeFailed, match=rf"^bad setting PROBE_PORT={probed.probe_port}: can't listen there: "):
            await run_burst(probed.model_copy(update={"ready_file": ""}), [noop])


async def test_a_ready_file_that_cannot_be(probed: WorkerSettings, tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(ProbeFailed, match=r"^bad setting READY_FILE="):
            await run_burst(probed.model_copy(update={"ready_file": str(file)}), [noop])
