"""The claim of the next job goes along with the finish of the one before: one call, and no job is lost for it."""

from __future__ import annotations

import asyncio
from signal import Signals
from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.workers.service import ended, push, running, until, until_ended
from workers.stream import AheadStart, ClaimCall, Claimed, Finish, Status, Stream, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.settings import WorkerSettings
    from workers.worker import Worker


_NO_CLAIM = ClaimCall(-1)


@pytest.fixture
def long_settings(worker_settings: WorkerSettings) -> WorkerSettings:
    """With a lease that no test waits for, and without looking ahead."""
    return worker_settings.model_copy(update={"lease_s": 600.0, "grace_s": 60.0, "look_ahead_s": 0.0})


class Steps:
    """A job's function that goes on when it is let; which jobs began, with their attempts."""

    def __init__(self, goes_on: bool = True) -> None:
        self.began: list[tuple[str, int]] = []
        self.go_on = asyncio.Event()
        if goes_on:
            self.go_on.set()
        self.functions = [func(self._run, name="job")]

    async def _run(self, ctx: dict[str, Any]) -> None:
        self.began.append((ctx["job_id"], ctx["job_try"]))
        await asyncio.sleep(0)
        await self.go_on.wait()


class Counted:
    """Stands in for the calls of a worker's stream that claim and finish: how often each was called.

    `loses` replies of the combined call are still to be lost, and each waits until the gate is `open`.
    """

    def __init__(self, stream: Stream, loses: int = 0) -> None:
        self.calls: list[str] = []
        self.answered = 0
        self.open = asyncio.Event()
        self.open.set()
        self.loses = loses
        self._claim, self._finish, self._both = stream.claim, stream.finish, stream.finish_and_claim
        stream.claim = self.claim  # type: ignore[method-assign,assignment]
        stream.finish = self.finish  # type: ignore[method-assign]
        stream.finish_and_claim = self.finish_and_claim  # type: ignore[method-assign]

    async def claim(self, *args: Any) -> list[Claimed]:
        """Counts, and claims."""
        self.calls.append("claim")
        return await self._claim(*args)

    async def finish(self, worker: str, finishes: Sequence[Finish]) -> list[bool]:
        """Counts, and finishes."""
        self.calls.append("finish")
        return await self._finish(worker, finishes)

    async def finish_and_claim(
        self, worker: str, finishes: Sequence[Finish], claim: ClaimCall = _NO_CLAIM, starts: Sequence[AheadStart] = ()
    ) -> Turn:
        """Counts, does both, and holds the answer back."""
        self.calls.append("both")
        answer = await self._both(worker, finishes, claim, starts)
        self.answered += 1
        await self.open.wait()
        if self.loses:
            self.loses -= 1
            raise RedisConnectionError("the reply was lost")
        return answer


async def test_each_job_costs_one_call_of_its_worker(stream: Stream, long_settings: WorkerSettings) -> None:
    steps = Steps()
    ids = [await push(stream, "job") for _ in range(5)]
    async with running(long_settings, steps.functions, max_jobs=1) as worker:
        counted = Counted(worker.stream)
        views = await ended(stream, ids)
        await worker.runner.until_empty()
    assert [view.attempts for view in views] == [1] * 5
    assert steps.began == [(job_id, 1) for job_id in ids]
    assert counted.calls == ["claim", *["both"] * 5]


async def test_a_claim_that_is_due_as_a_job_ends_goes_along_with_its_finish(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    """As when a heartbeat's answer, that the worker is not known as idle, comes at that moment."""
    ids = [await push(stream, "job") for _ in range(5)]

    async def job(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        worker.claims.wake()

    async with running(long_settings, [func(job, name="job")], max_jobs=1) as worker:
        counted = Counted(worker.stream)
        await ended(stream, ids)
        await worker.runner.until_empty()
    assert counted.calls == ["claim", *["both"] * 5]


@pytest.mark.parametrize(("slots", "look_ahead_s"), [(1, 0.0), (3, 0.0), (1, 1.0), (3, 1.0)])
async def test_a_job_whose_claim_got_lost_with_a_reply_runs_once_all_the_same(
    stream: Stream, long_settings: WorkerSettings, slots: int, look_ahead_s: float
) -> None:
    """It is handed back, its attempt uncounted, and the finish is told again."""
    steps = Steps()
    long_settings = long_settings.model_copy(update={"look_ahead_s": look_ahead_s})
    ids = [await push(stream, "job") for _ in range(20)]
    async with running(long_settings, steps.functions, max_jobs=slots) as worker:
        counted = Counted(worker.stream, loses=2)
        views = await ended(stream, ids)
    assert {(view.status, view.attempts) for view in views} == {(Status.FINISHED, 1)}
    assert sorted(steps.began) == sorted((job_id, 1) for job_id in ids)
    assert counted.loses < 2
    assert (await stream.counts()).length == 0


async def is_queued(stream: Stream, job_id: str) -> bool:
    view = await stream.view(job_id)
    assert view is not None
    return (view.status, view.attempts) == (Status.QUEUED, 0)


async def test_a_worker_that_was_told_to_stop_meanwhile_hands_the_next_job_back(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    steps = Steps()
    first, second = [await push(stream, "job") for _ in range(2)]
    async with running(long_settings, steps.functions, max_jobs=1) as worker:
        counted = Counted(worker.stream)
        counted.open.clear()
        await until(lambda: counted.answered == 1)
        assert not await is_queued(stream, second)
        worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        await asyncio.sleep(0.01)
        counted.open.set()
        await until(lambda: is_queued(stream, second))
    assert (await until_ended(stream, first)).status is Status.FINISHED
    assert steps.began == [(first, 1)]


def stop(worker: Worker) -> None:
    worker.handle_sig_wait_for_completion(Signals.SIGTERM)


def lose_the_model(worker: Worker) -> None:
    worker.set_capacity(0)


@pytest.mark.parametrize("happen", [stop, lose_the_model])
async def test_a_worker_that_may_run_no_more_claims_nothing_with_its_last_finish(
    stream: Stream, long_settings: WorkerSettings, happen: Any
) -> None:
    steps = Steps(goes_on=False)
    first, second = [await push(stream, "job") for _ in range(2)]
    async with running(long_settings, steps.functions, max_jobs=1) as worker:
        counted = Counted(worker.stream)
        await until(lambda: len(steps.began) == 1)
        happen(worker)
        steps.go_on.set()
        assert (await until_ended(stream, first)).status is Status.FINISHED
        await worker.runner.until_empty()
        assert await is_queued(stream, second)
    assert "both" not in counted.calls
    assert steps.began == [(first, 1)]
