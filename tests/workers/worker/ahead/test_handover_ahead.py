"""A worker that a push has hold jobs ahead, behind the one that it hands over: they run without a claim, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.service import ended, running, until
from tests.workers.worker.ahead.shorts import Shorts, SlowCalls, warm
from tests.workers.worker.test_handover import Gate, answering_late, until_idle
from workers.stream import NewJob, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.settings import WorkerSettings
    from workers.worker import Worker


async def push_some(stream: Stream, count: int) -> list[str]:
    """Pushes so many jobs in one call; their ids."""
    jobs = [NewJob(f"job-{number}", b"[]", function="job") for number in range(count)]
    assert {pushed.outcome for pushed in await stream.push_many(jobs)} == {"accepted"}
    return [job.id for job in jobs]


async def until_it_would_hold_some(stream: Stream, worker: Worker) -> None:
    await warm(stream, worker)
    await until_idle(stream, worker)


async def are_all_done(stream: Stream, ids: list[str]) -> bool:
    views = await ended(stream, ids)
    return {(view.status, view.attempts) for view in views} == {(Status.FINISHED, 1)}


@pytest.mark.parametrize("slots", [1, 4])
async def test_all_jobs_of_a_push_run_in_their_order_before_any_call(
    stream: Stream, long_settings: WorkerSettings, slots: int
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=slots) as worker:
        await until_it_would_hold_some(stream, worker)
        shorts.began.clear()
        gate = Gate(worker.stream, "claim", "finish_and_claim", "finish")

        ids = await push_some(stream, 10)
        await until(lambda: len(shorts.began) == 10)

        assert gate.answered == 0
        assert shorts.began == [(job_id, 1) for job_id in ids]
        gate.open.set()
        assert await are_all_done(stream, ids)
        await worker.runner.until_empty()
    counts = await stream.counts()
    assert (counts.length, counts.pending, counts.ahead) == (0, 0, 0)


@pytest.mark.parametrize("slots", [1, 4])
async def test_where_calls_are_slow_one_call_tells_all_ends_of_a_push(
    stream: Stream, long_settings: WorkerSettings, patient_ends: None, slots: int
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=slots) as worker:
        slow = SlowCalls(worker.stream)
        await until_it_would_hold_some(stream, worker)
        for _ in range(20):  # on a busy machine they may take longer than an end waits
            slow.ends.clear()
            assert await are_all_done(stream, await push_some(stream, 10))
            await until_idle(stream, worker)
            await stream.redis.delete(*(f"{stream.prefix}:job:job-{number}" for number in range(10)))
            if slow.ends == [10]:
                return
    raise AssertionError("the first end has never waited for the others")


def holding_back(worker: Worker) -> list[Callable[[], None]]:
    """What the worker is to hold waits in this list, until each is called."""
    late: list[Callable[[], None]] = []
    hold = worker.claims.hold
    worker.claims.hold = lambda jobs: late.append(lambda: hold(jobs))  # type: ignore[method-assign]
    return late


@pytest.mark.parametrize("is_answered", [False, True], ids=["while they are", "after that"])
async def test_jobs_whose_message_comes_as_they_are_handed_back_begin_once(
    stream: Stream, long_settings: WorkerSettings, is_answered: bool
) -> None:
    """Nobody had heard of them, and they were handed back for that."""
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        late = holding_back(worker)
        await until_it_would_hold_some(stream, worker)
        shorts.began.clear()
        done, go_on = answering_late(worker)
        shorts.waits.add("job-0")
        ids = await push_some(stream, 4)
        await until(lambda: len(late) == 1 and len(shorts.began) == 1)

        worker.claims.messages_were_missed()
        shorts.go_on.set()
        await done.wait()
        if is_answered:
            go_on.set()
            await until(lambda: len(shorts.began) == 4)
        late[0]()
        go_on.set()

        assert await are_all_done(stream, ids)
        await worker.runner.until_empty()
    assert sorted(shorts.began) == [(job_id, 1) for job_id in ids]


async def test_a_worker_that_stops_hands_back_what_a_push_has_it_hold(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        late = holding_back(worker)
        await until_it_would_hold_some(stream, worker)
        shorts.waits.add("job-0")
        await push_some(stream, 4)
        await until(lambda: len(late) == 1)
        worker.life.stop()
        late[0]()

        async def is_handed_back() -> bool:
            counts = await stream.counts()
            return (counts.released, counts.ahead) == (3, 0)

        await until(is_handed_back)
        shorts.go_on.set()
