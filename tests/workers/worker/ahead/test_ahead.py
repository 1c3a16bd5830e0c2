"""A worker whose jobs are short holds the next ones ahead: each runs once, in its turn, and delays nobody."""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

import pytest

from tests.workers.service import ended, push, running, until, until_ended
from tests.workers.stream.actions import command, key
from tests.workers.worker.ahead.shorts import Shorts, SlowCalls, warm
from workers.stream import NO_OPTIONS, JobOptions, Status, Stream
from workers.worker import ahead as ahead_module
from workers.worker.ahead import Ahead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.settings import WorkerSettings
    from workers.stream import Claimed
    from workers.worker import Worker


class Brings:
    """Stands in for what brings the files of held jobs: which were begun, and which given up."""

    function, is_worth_it = "job", True

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.dropped: list[str] = []

    def begin(self, job: Claimed) -> None:
        self.begun.append(job.id)

    def drop(self, job_id: str) -> None:
        self.dropped.append(job_id)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is handed back because time has passed."""
    monkeypatch.setattr(Ahead, "_watch", lambda _: None)


async def hold(
    stream: Stream, worker: Worker, shorts: Shorts, count: int, options: JobOptions = NO_OPTIONS
) -> tuple[str, list[str]]:
    """Has the worker run a job that waits, and hold so many others with these options; their ids."""
    worker.set_capacity(0)
    first, waiting = [await push(stream, "job") for _ in range(2)]
    held = [await push(stream, "job", options=options) for _ in range(count)]
    shorts.waits.add(waiting)
    worker.set_capacity(1)
    await until(lambda: (waiting, 1) in shorts.began and len(worker.ahead) == count)
    assert (await until_ended(stream, first)).status is Status.FINISHED
    return waiting, held


async def is_queued(stream: Stream, job_id: str) -> bool:
    view = await stream.view(job_id)
    assert view is not None
    return (view.status, view.attempts) == (Status.QUEUED, 0)


async def test_jobs_run_while_a_call_is_under_way_and_in_the_order_of_their_pushes(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        shorts.began.clear()
        slow = SlowCalls(worker.stream)
        worker.set_capacity(0)
        ids = [await push(stream, "job") for _ in range(30)]
        worker.set_capacity(1)
        views = await ended(stream, ids)
        await worker.runner.until_empty()
    assert shorts.began == [(job_id, 1) for job_id in ids]
    assert {(view.status, view.attempts) for view in views} == {(Status.FINISHED, 1)}
    assert all(view.started_ms and view.finished_ms and view.started_ms <= view.finished_ms for view in views)
    assert len(slow.calls) < len(ids)
    counts = await stream.counts()
    assert (counts.length, counts.pending, counts.ahead) == (0, 0, 0)


async def test_ends_of_short_jobs_are_gathered_where_calls_are_slow(
    stream: Stream, long_settings: WorkerSettings, patient_ends: None
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        slow = SlowCalls(worker.stream)
        for _ in range(2):  # the worker learns that they are
            await ended(stream, [await push(stream, "job")])
            await worker.runner.until_empty()
        for _ in range(20):  # on a busy machine they may take longer than an end waits
            worker.set_capacity(0)
            ids = [await push(stream, "job") for _ in range(10)]
            slow.ends.clear()
            worker.set_capacity(1)
            await ended(stream, ids)
            await worker.runner.until_empty()
            # The first claim brings them all: one to run, and nine to hold.
            if [ends for ends in slow.ends if ends] == [10]:
                return
    raise AssertionError("the first end has never waited for the others")


async def test_an_end_waits_for_no_long_job(stream: Stream, long_settings: WorkerSettings) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        SlowCalls(worker.stream)
        for _ in range(2):
            await ended(stream, [await push(stream, "job")])
            await worker.runner.until_empty()
        first, waiting = [await push(stream, "job") for _ in range(2)]
        shorts.waits.add(waiting)

        assert (await until_ended(stream, first)).status is Status.FINISHED
        shorts.go_on.set()
        await ended(stream, [waiting])


async def test_what_is_held_is_queued_for_everybody(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        _, held = await hold(stream, worker, shorts, 3)
        assert all([await is_queued(stream, job_id) for job_id in held])
        counts, demand = await stream.counts(), await stream.demand()
        assert (counts.waiting, counts.pending, counts.ahead) == (0, 4, 3)
        assert (demand.waiting, demand.running) == (3, 1)
        shorts.go_on.set()
        assert [view.attempts for view in await ended(stream, held)] == [1, 1, 1]


async def test_a_long_job_delays_nothing_that_was_held_behind_it(stream: Stream, long_settings: WorkerSettings) -> None:
    shorts = Shorts()
    settings = long_settings.model_copy(update={"look_ahead_s": 0.05})
    async with running(settings, shorts.functions, max_jobs=1) as first:
        await warm(stream, first)
        first.set_capacity(0)
        waiting, *behind = [await push(stream, "job") for _ in range(4)]
        shorts.waits.add(waiting)
        first.set_capacity(1)
        await until(lambda: (waiting, 1) in shorts.began)
        async with running(settings, shorts.functions, max_jobs=1):
            assert {(view.status, view.attempts) for view in await ended(stream, behind)} == {(Status.FINISHED, 1)}
        assert [job_id for job_id, _ in shorts.began[-3:]] == behind
        shorts.go_on.set()
        assert (await until_ended(stream, waiting)).status is Status.FINISHED


async def test_an_idle_worker_has_jobs_handed_back(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as first:
        await warm(stream, first)
        waiting, held = await hold(stream, first, shorts, 2)
        async with running(long_settings, shorts.functions, max_jobs=1):
            assert {(view.status, view.attempts) for view in await ended(stream, held)} == {(Status.FINISHED, 1)}
            assert shorts.began[-2:] == [(job_id, 1) for job_id in held]
            assert not first.ahead
        shorts.go_on.set()
        assert (await until_ended(stream, waiting)).status is Status.FINISHED


async def test_a_job_that_is_cancelled_while_it_is_held_never_runs(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        _, (cancelled, other) = await hold(stream, worker, shorts, 2)
        assert await stream.cancel(cancelled) == "cancelled"
        await until(lambda: len(worker.ahead) == 1)
        shorts.go_on.set()
        assert (await until_ended(stream, other)).status is Status.FINISHED
    assert cancelled not in [job_id for job_id, _ in shorts.began]
    assert (await until_ended(stream, cancelled)).status is Status.CANCELLED


async def test_a_worker_that_stops_hands_back_what_it_holds(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as first:
        await warm(stream, first)
        waiting, held = await hold(stream, first, shorts, 2)
        first.handle_sig_wait_for_completion(Signals.SIGTERM)

        async def are_released() -> bool:
            counts = await stream.counts()
            return (counts.released, counts.ahead) == (2, 0)

        await until(are_released)
        assert all([await is_queued(stream, job_id) for job_id in held])
        shorts.go_on.set()
        assert (await until_ended(stream, waiting)).attempts == 1
    async with running(long_settings, shorts.functions, max_jobs=1):
        assert [view.attempts for view in await ended(stream, held)] == [1, 1]
    assert shorts.began[-2:] == [(job_id, 1) for job_id in held]


async def test_events_of_a_job_that_the_server_has_not_heard_of_yet_are_kept(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        SlowCalls(worker.stream)
        worker.set_capacity(0)
        ids = [await push(stream, "job") for _ in range(6)]
        shorts.waits.add(ids[0])
        worker.set_capacity(1)
        await until(lambda: (ids[0], 1) in shorts.began)
        shorts.go_on.set()
        shorts.tells = True
        await ended(stream, ids)
        for job_id in ids[1:]:
            assert [event.kind for event in await stream.events(job_id)] == ["begin", "log", "end"]


async def test_one_job_is_held_while_its_files_are_brought_however_long_jobs_are(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts, brings = Shorts(), Brings()
    settings = long_settings.model_copy(update={"look_ahead_s": 1e-9})
    async with running(settings, shorts.functions, max_jobs=1) as first:
        first.set_files_ahead(brings)
        await warm(stream, first)
        waiting, [held] = await hold(stream, first, shorts, 1)
        assert brings.begun[-1] == held
        assert await is_queued(stream, held)
        shorts.go_on.set()
        assert [view.attempts for view in await ended(stream, [waiting, held])] == [1, 1]
        assert held not in brings.dropped

        shorts.go_on.clear()
        waiting, [held] = await hold(stream, first, shorts, 1)
        async with running(settings, shorts.functions, max_jobs=1):
            assert (await until_ended(stream, held)).attempts == 1
        assert held in brings.dropped, "an idle worker has run it"
        shorts.go_on.set()
        assert (await until_ended(stream, waiting)).status is Status.FINISHED


async def test_a_job_that_is_held_for_its_files_goes_back_when_the_one_in_front_is_long(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts, brings = Shorts(), Brings()
    settings = long_settings.model_copy(update={"look_ahead_s": 1e-9})
    async with running(settings, shorts.functions, max_jobs=1) as worker:
        worker.set_files_ahead(brings)
        await warm(stream, worker)
        worker.set_capacity(0)
        _, waiting, held = [await push(stream, "job") for _ in range(3)]
        shorts.waits.add(waiting)
        worker.set_capacity(1)
        await until(lambda: held in brings.dropped)
        assert (await stream.counts()).released == 1
        shorts.go_on.set()
        assert (await until_ended(stream, held)).attempts == 1


async def test_jobs_with_options_are_held_and_keep_them(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts = Shorts()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    options = JobOptions(max_attempts=1, ttl_ms=600_000, tag="seven", traceparent=trace)
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        _, held = await hold(stream, worker, shorts, 3, options)
        assert all([await is_queued(stream, job_id) for job_id in held])
        shorts.go_on.set()
        views = await ended(stream, held)
    assert {(view.status, view.attempts, view.options) for view in views} == {(Status.FINISHED, 1, options)}
    assert shorts.began[-3:] == [(job_id, 1) for job_id in held]
    assert shorts.traces[-3:] == [trace] * 3


async def test_a_job_whose_ttl_ends_while_it_is_held_has_not_been_started(
    stream: Stream, long_settings: WorkerSettings, patient: None
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        _, (late,) = await hold(stream, worker, shorts, 1, JobOptions(ttl_ms=600_000))
        await command(stream, "ZADD", key(stream, "expiring"), "XX", 0, late)
        shorts.go_on.set()
        view = await until_ended(stream, late)
    assert (view.status, view.attempts, view.started_ms) == (Status.FAILED, 0, None)
    assert (view.error or {})["type"] == "Expired"


async def test_a_job_with_a_ttl_that_was_held_for_long_goes_back(
    stream: Stream, long_settings: WorkerSettings, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        handed_back: list[int] = []
        release_ahead = worker.stream.release_ahead

        async def released(worker_id: str, held: Iterable[tuple[str, str]]) -> int:
            handed_back.append(await release_ahead(worker_id, held))
            return handed_back[-1]

        monkeypatch.setattr(worker.stream, "release_ahead", released)
        monkeypatch.setattr(ahead_module, "_LONGEST_WITH_TTL_S", 0.0)
        _, held = await hold(stream, worker, shorts, 2, JobOptions(ttl_ms=600_000))
        shorts.go_on.set()
        assert [view.attempts for view in await ended(stream, held)] == [1, 1]
    assert handed_back[0] == 2


async def test_of_a_model_that_runs_jobs_together_the_next_call_is_held(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    shorts = Shorts()
    async with running(long_settings, shorts.functions, max_jobs=3) as worker:
        await warm(stream, worker)
        shorts.began.clear()
        worker.set_slots(3, 3)
        slow = SlowCalls(worker.stream)
        worker.set_capacity(0)
        ids = [await push(stream, "job") for _ in range(18)]
        worker.set_capacity(3)
        views = await ended(stream, ids)
        await worker.runner.until_empty()
    assert shorts.began == [(job_id, 1) for job_id in ids]
    assert {view.attempts for view in views} == {1}
    assert max(call.ahead for call in slow.calls) == 3


async def test_nothing_is_held_if_that_is_off(stream: Stream, long_settings: WorkerSettings) -> None:
    shorts = Shorts()
    settings = long_settings.model_copy(update={"look_ahead_s": 0.0})
    async with running(settings, shorts.functions, max_jobs=1) as worker:
        await warm(stream, worker)
        slow = SlowCalls(worker.stream)
        await ended(stream, [await push(stream, "job") for _ in range(5)])
    assert {(call.ahead, call.held) for call in slow.calls} == {(0, -1)}
