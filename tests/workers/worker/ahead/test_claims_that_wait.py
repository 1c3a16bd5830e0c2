"""With free slots left, a worker of short jobs claims as one of them ends, and soon after if none does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arq.worker import func

from tests.workers.service import ended, push, running, until, until_ended
from tests.workers.stream.actions import see
from tests.workers.worker.ahead.shorts import Shorts, warm
from tests.workers.worker.ahead.test_handover_ahead import push_some
from tests.workers.worker.test_handover import Gate, until_idle
from workers.stream import NewJob, Status, Stream
from workers.worker import finishes

if TYPE_CHECKING:
    import pytest

    from workers.settings import WorkerSettings


async def some_turns(ctx: dict[str, Any]) -> None:
    """Takes the event loop some turns, as a model's answer does."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_call_tells_the_end_and_claims_for_all_slots(
    stream: Stream, worker_settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishes, "_QUICK_JOB_S", 60.0)  # however busy the machine is
    monkeypatch.setattr(finishes, "SLOW_S", 60.0)
    settings = worker_settings.model_copy(update={"lease_s": 600.0})
    async with running(settings, [func(some_turns, name="job")], max_jobs=4) as worker:
        await warm(stream, worker)
        await until_idle(stream, worker)
        gate = Gate(worker.stream, "claim", "finish_and_claim", "finish")
        gate.open.set()

        await until_ended(stream, await push(stream, "job"))
        await until_idle(stream, worker)

        assert gate.calls == 1


async def test_a_claim_waits_for_a_while_at_most(stream: Stream, worker_settings: WorkerSettings) -> None:
    shorts = Shorts()
    async with running(worker_settings, shorts.functions, max_jobs=4) as worker:
        await warm(stream, worker)
        await until_idle(stream, worker)
        ids = [f"job-{number}" for number in range(3)]
        shorts.waits.update(ids)
        for count, job_id in enumerate(ids, len(shorts.began) + 1):
            await stream.push(NewJob(job_id, b"[]", function="job"))
            await until(lambda count=count: len(shorts.began) == count)

        shorts.go_on.set()
        for job_id in ids:
            await until_ended(stream, job_id)


async def test_a_worker_that_stops_tells_what_it_has_begun_meanwhile(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(worker_settings, shorts.functions, max_jobs=4) as worker:
        await warm(stream, worker)
        await until_idle(stream, worker)
        worker.claims._waits_s = lambda: 600.0
        shorts.waits.update(("job-0", "job-1"))
        shorts.began.clear()
        await push_some(stream, 2)
        await until(lambda: len(shorts.began) == 2)
        assert (await see(stream, "job-1")).status is Status.QUEUED

        worker.life.stop()

        async def is_told() -> bool:
            return (await see(stream, "job-1")).status is Status.PROCESSING

        await until(is_told)
        shorts.go_on.set()
    views = await ended(stream, ["job-0", "job-1"])
    assert [(view.status, view.attempts) for view in views] == [(Status.FINISHED, 1)] * 2
