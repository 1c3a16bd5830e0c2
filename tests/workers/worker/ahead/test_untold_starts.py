"""A job that was held ahead may be over before the server knows its start: its outcome is recorded."""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

from tests.workers.service import ended, push, run_burst, running, until, until_ended
from tests.workers.worker.ahead.shorts import Shorts, SlowCalls, warm
from workers.stream import LARGE_BYTES, Status, Stream

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.worker import Worker


async def push_behind(stream: Stream, worker: Worker, count: int) -> list[str]:
    """So many jobs, of which the worker runs one and holds the others once it has room for it; their ids."""
    await warm(stream, worker)
    SlowCalls(worker.stream)
    worker.set_capacity(0)
    return [await push(stream, "job") for _ in range(count)]


async def test_a_retry_of_a_job_whose_start_the_server_does_not_know_yet_is_not_lost(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        ids = await push_behind(stream, worker, 4)
        shorts.retries.add(ids[2])

        worker.set_capacity(1)

        views = await ended(stream, ids)
    assert [(view.status, view.attempts) for view in views] == [(Status.FINISHED, tries) for tries in (1, 1, 2, 1)]


async def test_a_large_result_of_a_job_whose_start_the_server_does_not_know_yet_is_kept(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        ids = await push_behind(stream, worker, 4)
        shorts.results[ids[2]] = "x" * (LARGE_BYTES + 1)

        worker.set_capacity(1)

        assert (await until_ended(stream, ids[2])).status is Status.FINISHED
        await ended(stream, ids)


async def test_a_job_whose_start_the_server_does_not_know_yet_is_handed_back_when_its_worker_stops(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        first, waiting = await push_behind(stream, worker, 2)
        shorts.waits.add(waiting)
        worker.set_capacity(1)
        await until(lambda: (waiting, 1) in shorts.began)
        assert not worker.events.is_registered(waiting, 1)

        worker.handle_sig(Signals.SIGINT)
        await worker.runner.until_empty()

        view = await stream.view(waiting)
        assert view is not None
        assert (view.status, view.attempts) == (Status.QUEUED, 0)
        assert (await until_ended(stream, first)).status is Status.FINISHED


async def test_a_burst_worker_with_short_jobs_runs_as_many_as_it_may_and_ends(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    ids = [await push(stream, "job") for _ in range(60)]
    shorts.retries.update(ids[::7])

    some = await run_burst(long_settings, shorts.functions, max_jobs=4, max_burst_jobs=30)

    counts = await stream.counts()
    assert (some.jobs_complete + some.jobs_retried, counts.pending - counts.released, counts.ahead) == (30, 0, 0)
    await run_burst(long_settings, shorts.functions, max_jobs=4)
    assert {view.status for view in await ended(stream, ids)} == {Status.FINISHED}


async def test_what_is_held_runs_in_slots_that_are_free_and_nothing_goes_back(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts, went_back = Shorts(), list[int]()
    settings = long_settings.model_copy(update={"look_ahead_s": 30.0})
    async with running(settings, shorts.functions, max_jobs=4) as worker:
        ids = await push_behind(stream, worker, 6)
        shorts.began.clear()
        shorts.waits.update(ids)
        release_ahead = worker.stream.release_ahead

        async def released(worker_id: str, held: list[tuple[str, str]]) -> int:
            went_back.append(len(held))
            return await release_ahead(worker_id, held)

        worker.stream.release_ahead = released  # type: ignore[method-assign,assignment]
        worker.set_capacity(1)
        await until(lambda: len(shorts.began) == 1 and len(worker.ahead) == 5)
        worker.set_capacity(4)
        await until(lambda: len(shorts.began) == 4)
        assert shorts.began == [(job_id, 1) for job_id in ids[:4]]

        shorts.go_on.set()
        views = await ended(stream, ids)
        await worker.runner.until_empty()
    assert sum(went_back) == 0
    assert {(view.status, view.attempts) for view in views} == {(Status.FINISHED, 1)}
