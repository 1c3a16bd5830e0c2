"""The heartbeat of a worker among many: it registers less often while it is idle, and for longer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.workers.service import until
from workers.stream import Outage, Registered
from workers.telemetry.metrics import WorkerMetrics
from workers.worker.beside.heartbeat import Heartbeat
from workers.worker.life import Life
from workers.worker.schema import ModelSchema
from workers.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from workers.settings import WorkerSettings
    from workers.stream import Stream


@contextlib.asynccontextmanager
async def beating(stream: Stream, settings: WorkerSettings) -> AsyncIterator[tuple[Heartbeat, list[Registered]]]:
    """The heartbeat of an idle worker, and what it was told so far; so often that nobody waits for it."""
    told: list[Registered] = []
    settings = settings.model_copy(update={"lease_s": 0.03})
    session = Session("w", stream, Outage(lambda: None), WorkerMetrics(), settings, Life(1))
    session.life.start()
    heartbeat = Heartbeat(
        session, lambda: {"state": "idle"}, list, lambda *_: None, lambda: ModelSchema(None), told.append
    )
    task = asyncio.create_task(heartbeat.run())
    try:
        yield heartbeat, told
        # News end a rest.
        session.life.news.set()
        count = len(told)
        await until(lambda: len(told) > count)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_one_of_many_idle_workers_rests_and_its_registration_lasts_meanwhile(
    one_stream: Stream, one_settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.worker.beside.heartbeat._MANY_WORKERS", 0.0001)
    monkeypatch.setattr("workers.worker.beside.heartbeat._MOST_RESTS", 6000)

    async with beating(one_stream, one_settings) as (heartbeat, told):
        # How many workers there are is known from the first answer on.
        await until(lambda: len(told) == 2)
        for _ in range(3):
            await until(lambda: heartbeat.age_s > 0.005)
            await until(lambda: heartbeat.age_s < 0.005)

        assert len(told) == 2
        assert told[-1].workers == 1
        assert [worker.id for worker in await one_stream.workers()] == ["w"]


async def test_one_of_few_workers_registers_at_every_beat(one_stream: Stream, one_settings: WorkerSettings) -> None:
    async with beating(one_stream, one_settings) as (_, told):
        await until(lambda: len(told) >= 3)
