"""Cron jobs: when they run next, and that each runs once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import pytest
from arq import cron

from tests.queues import opened
from tests.workers.service import running, until
from workers.arq.cron import MISSED_S, Schedule, next_run
from workers.stream import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

    from arq.cron import CronJob

    from tests.servers import Server
    from workers.settings import WorkerSettings
    from workers.stream import Stream

EVERY_SECOND = set(range(60))


async def tick(ctx: dict[str, Any]) -> None: ...


class Autumn(tzinfo):
    """Two hours ahead of UTC, and one hour ahead from 01:00 UTC on the 26th of October 2025."""

    CHANGE = datetime(2025, 10, 26, 1)  # UTC

    def utcoffset(self, time: datetime | None) -> timedelta:
        assert time is not None
        wall = time.replace(tzinfo=None)
        hours = 2 if wall < datetime(2025, 10, 26, 2) or (wall < datetime(2025, 10, 26, 3) and not time.fold) else 1
        return timedelta(hours=hours)

    def dst(self, time: datetime | None) -> timedelta:
        return self.utcoffset(time) - timedelta(hours=1)

    def tzname(self, time: datetime | None) -> str:
        return "autumn"


@pytest.mark.parametrize(
    ("job", "after", "expected"),
    [
        (cron(tick), "2025-01-31 12:00:00", "2025-01-31 12:01:00.123456"),
        (cron(tick, second=30, microsecond=5), "2025-01-31 12:00:30.5", "2025-01-31 12:01:30.000005"),
        (cron(tick, weekday="mon", hour=3, minute=15), "2025-01-31 12:00:00", "2025-02-03 03:15:00.123456"),
        (cron(tick, weekday=0, hour=3, minute=15), "2025-01-31 12:00:00", "2025-02-03 03:15:00.123456"),
        (cron(tick, month={3, 9}, day=1, hour=0, minute=0), "2025-03-01 00:00:00.2", "2025-09-01 00:00:00.123456"),
    ],
)
def test_next_run_is_arqs(job: CronJob, after: str, expected: str) -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert next_run(job, at(after)) == at(expected)


def test_an_hour_that_comes_twice_stops_no_job() -> None:
    job = cron(tick, second=0, microsecond=0)
    now = datetime(2025, 10, 26, 2, 30, tzinfo=Autumn(), fold=1)
    for _ in range(40):
        then = next_run(job, now)
        assert then.timestamp() == now.timestamp() + 60
        now = then


async def keys(stream: Stream) -> list[bytes]:
    """One for each run of a unique cron job; it ends with the run's time in ms."""
    return sorted(await stream.redis.keys(f"{stream.prefix}:idempotency:cron:*"))


async def test_each_run_is_once_for_all_workers(stream: Stream, worker_settings: WorkerSettings) -> None:
    runs: list[str] = []

    async def tock(ctx: dict[str, Any]) -> None:
        runs.append(ctx["job_id"])

    def jobs() -> list[CronJob]:
        return [cron(tock, name="tock", second=EVERY_SECOND)]

    async with (
        running(worker_settings, [], cron_jobs=jobs()),
        running(worker_settings, [], cron_jobs=jobs()),
        running(worker_settings, [], cron_jobs=jobs()),
    ):
        await until(lambda: len(runs) >= 3)
    found = await keys(stream)
    assert len(set(runs)) == len(runs) <= len(found)
    assert all(key.endswith(b"123") for key in found)  # arq's default, 123456 microseconds past the second
    # A cron job's record is not kept.
    assert await stream.view(runs[0]) is None


async def test_a_run_that_a_full_server_refuses_is_dropped_and_the_worker_goes_on(
    start_server: Callable[..., Server], worker_settings: WorkerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server()
    settings = worker_settings.model_copy(update={"redis_url": server.url})
    ran = asyncio.Event()

    async def job(ctx: dict[str, Any]) -> None:
        ran.set()

    async with opened(settings) as stream:
        await stream.redis.config_set("maxmemory-policy", "noeviction")
        await stream.redis.config_set("maxmemory", 1)
        async with running(settings, [], cron_jobs=[cron(job, name="often", second=EVERY_SECOND)]):
            await until(lambda: "often: the server is out of memory, its run of" in caplog.text)
            await stream.redis.config_set("maxmemory", 0)
            await asyncio.wait_for(ran.wait(), 30)


async def test_run_at_startup_and_options(stream: Stream, worker_settings: WorkerSettings) -> None:
    seen: list[tuple[str, int]] = []

    async def job(ctx: dict[str, Any]) -> None:
        seen.append((ctx["job_id"], ctx["job_try"]))
        await asyncio.sleep(60)

    far = (datetime.now(tz=UTC).month + 5) % 12 + 1
    jobs = [
        cron(job, name="now", month=far, run_at_startup=True, job_id="fixed", timeout=0.05, keep_result=100),
        cron(job, name="later", month=far),
    ]
    async with running(worker_settings, [], cron_jobs=jobs):

        async def has_failed() -> bool:
            view = await stream.view("fixed")
            return view is not None and view.status == "failed"

        await until(has_failed)
    assert seen == [("fixed", 1)]
    view = await stream.view("fixed")
    assert view is not None
    assert view.error == {"type": "TimeoutError", "message": "timed out after 0.05 s"}


async def test_crons_with_one_job_id_run_one_job_whatever_their_functions(
    one_stream: Stream, one_settings: WorkerSettings
) -> None:
    ran: list[str] = []

    async def one(ctx: dict[str, Any]) -> None:
        ran.append("one")

    async def other(ctx: dict[str, Any]) -> None:
        ran.append("other")

    far = (datetime.now(tz=UTC).month + 5) % 12 + 1
    jobs = [
        cron(function, name=name, month=far, run_at_startup=True, job_id=job_id, unique=unique)
        for function, name, job_id, unique in (
            (one, "one", "shared", True),
            (other, "other", "shared", False),
            (other, "shared", None, True),  # a name is no id
        )
    ]
    async with running(one_settings, [], cron_jobs=jobs):
        await until(lambda: len(ran) == 2)

        async def is_quiet() -> bool:
            return (await one_stream.counts()).outstanding == 0

        await until(is_quiet)
    assert ran == ["one", "other"]


@pytest.mark.parametrize("unique", [True, False])
async def test_runs_that_were_missed_are_skipped(one_stream: Stream, unique: bool) -> None:
    """After a long absence of the server or the machine there is no burst of old runs."""
    job = cron(tick, name="tick", second=EVERY_SECOND, microsecond=0, unique=unique)
    schedule = Schedule([job], one_stream, Outage(lambda: None), UTC)
    began_s = time.time()
    times = iter([began_s - 3 * MISSED_S])

    def now() -> datetime:
        return datetime.fromtimestamp(next(times, time.time()), UTC)

    schedule._now = now  # type: ignore[method-assign]
    task = asyncio.create_task(schedule.run())

    async def has_pushed() -> bool:
        return (await one_stream.counts()).waiting > 0

    await until(has_pushed)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert (await one_stream.counts()).waiting <= time.time() - began_s + 1
    if unique:
        assert all(int(key.rpartition(b":")[2]) >= (began_s - 1) * 1000 for key in await keys(one_stream))
    else:
        assert await keys(one_stream) == []
