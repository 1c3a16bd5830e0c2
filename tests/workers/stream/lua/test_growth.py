"""What is counted or looked for without a walk through all workers is right all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import accept, command, finish, key, sweep

if TYPE_CHECKING:
    from workers.stream import Stream


async def consumers(stream: Stream) -> set[bytes]:
    """The group's, without those that nobody runs."""
    rows = await command(stream, "XINFO", "CONSUMERS", key(stream, "stream"), "workers")
    return {row[1] for row in rows} - {b"released"}


@pytest.mark.parametrize("released", [0, 1, 99, 100, 101])
async def test_released_jobs_are_counted_beside_running_ones(stream: Stream, released: int) -> None:
    await accept(stream, released + 5)
    jobs = await stream.claim("leaving", released)
    for number in range(3):
        await stream.claim(f"busy-{number}", 1)
    assert await stream.release("leaving", [(job.id, job.attempt) for job in jobs]) == released
    counts = await stream.counts()
    assert (counts.released, counts.pending, counts.waiting) == (released, released + 3, 2)
    last = (await accept(stream))[0]
    view = await stream.view(last)
    assert view is not None
    assert view.ahead == released + 2


async def work(stream: Stream, worker: str) -> None:
    """Lets the worker run a job: from then on the group knows it."""
    await accept(stream)
    await finish(stream, worker, await stream.claim(worker, 1))


async def sweep_until(stream: Stream, *left: bytes) -> None:
    """A consumer has to be idle for a lease before it counts as dead."""
    async with asyncio.timeout(30):
        while await consumers(stream) != set(left):
            await sweep(stream)
            await asyncio.sleep(0.1)


@pytest.mark.lease_s(1)
async def test_dead_worker_leaves_the_group_once_its_registration_is_over(stream: Stream) -> None:
    for worker in ("live", "dead", "never registered"):
        await work(stream, worker)
    await stream.register("live", 60, {"state": "idle"})
    await stream.register("dead", 0.01, {"state": "idle"})
    await sweep_until(stream, b"live")
    await stream.register("starting", 60, {"state": "starting"})
    assert (await stream.counts()).workers == 2


@pytest.mark.lease_s(1)
async def test_dead_worker_that_a_starting_one_makes_up_for_leaves_later(stream: Stream) -> None:
    await work(stream, "dead")
    await stream.register("starting", 60, {"state": "starting"})
    await sweep(stream)
    await work(stream, "starting")
    await sweep_until(stream, b"starting")


async def test_the_more_workers_there_are_the_less_often_each_sweeps(stream: Stream) -> None:
    for number in range(100):
        await stream.register(f"w-{number}", 60, {})

    pauses_s = [await stream.sweep(5.0) for _ in range(20)]

    assert all(0.75 * 5 <= pause_s <= 1.25 * 5 for pause_s in pauses_s)
    assert await stream.sweep() == stream.sweep_interval_s


async def test_of_many_workers_some_sweep_when_a_deferred_job_is_due(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(400):
        await stream.register(f"w-{number}", 60, {})
    await accept(stream)
    (job,) = await stream.claim("w-0", 1)
    await stream.defer("w-0", job.id, 1, 20_000)

    monkeypatch.setattr("random.random", lambda: 3 / 400)
    assert await stream.sweep(600.0) <= 20
    monkeypatch.setattr("random.random", lambda: 5 / 400)
    assert await stream.sweep(600.0) >= 0.75 * 100
