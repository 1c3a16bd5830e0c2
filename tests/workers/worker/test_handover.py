"""A worker that is handed jobs by pushes: no claim comes first, and none is lost or run twice for it."""

from __future__ import annotations

import asyncio
from functools import partial
from signal import Signals
from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func

from tests.workers.service import push, running, until, until_ended
from tests.workers.stream.actions import command, key
from workers.stream import Claimed, Status, Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.settings import WorkerSettings
    from workers.worker import Worker


@pytest.fixture
def long_settings(worker_settings: WorkerSettings) -> WorkerSettings:
    """With a lease that no test waits for."""
    return worker_settings.model_copy(update={"lease_s": 600.0})


class Jobs:
    """A job's function: which attempts began, and how many ran at once; each ends when it is let."""

    def __init__(self, goes_on: bool = True) -> None:
        self.began: list[tuple[str, int]] = []
        self.cancelled = 0
        self.most = self._now = 0
        self.go_on = asyncio.Event()
        if goes_on:
            self.go_on.set()
        self.functions = [func(self._run, name="job")]

    async def _run(self, ctx: dict[str, Any]) -> str:
        self.began.append((ctx["job_id"], ctx["job_try"]))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._now -= 1
        return str(ctx["worker"].id)


class Gate:
    """Stands in for methods of a worker's stream: each call, or else its answer, waits until the gate is open."""

    def __init__(self, stream: Stream, *names: str, before: bool = True) -> None:
        self._before = before
        self.open = asyncio.Event()
        self.calls = self.answered = 0
        for name in names:
            setattr(stream, name, partial(self._pass, getattr(stream, name)))

    async def _pass(self, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self.calls += 1
        if self._before:
            await self.open.wait()
        answer = await call(*args)
        await self.open.wait()
        self.answered += 1
        return answer


async def is_idle(stream: Stream) -> bool:
    return (await stream.counts()).idle_workers == 1


async def until_idle(stream: Stream, worker: Worker) -> None:
    """Returns when the worker has nothing to do, and has said so."""
    await asyncio.wait_for(worker.ready.wait(), 20)
    await until(lambda: is_idle(stream))
    await until(lambda: worker.claims._may_be_woken and not worker.claims._claiming)


async def was_told_of_a_job(stream: Stream, worker: Worker) -> bool:
    served = await stream.redis.hget(f"{stream.prefix}:worker:{worker.id}", "served")  # type: ignore[misc]
    return bool(served and int(served))


async def pretend_idle(stream: Stream, worker: Worker) -> None:
    """As if the server had not heard yet that the worker is not idle any more."""
    await stream.redis.zadd(f"{stream.prefix}:idle", {worker.id: 0})
    await stream.redis.hset(f"{stream.prefix}:worker:{worker.id}", "running", "0")  # type: ignore[misc]


async def test_a_job_starts_without_a_claim(stream: Stream, long_settings: WorkerSettings) -> None:
    jobs = Jobs()
    async with running(long_settings, jobs.functions, max_jobs=3) as worker:
        await until_idle(stream, worker)
        gate = Gate(worker.stream, "claim", "finish_and_claim")
        job_id = await push(stream, "job")
        await until(lambda: jobs.began == [(job_id, 1)])
        # Then it asks for more, as it is not woken before it has.
        await until(lambda: gate.calls == 1)
        gate.open.set()
        view = await until_ended(stream, job_id)
        assert (view.status, view.attempts) == (Status.FINISHED, 1)
        await until(lambda: is_idle(stream))


async def test_a_worker_with_one_slot_asks_once_after_each_job(stream: Stream, long_settings: WorkerSettings) -> None:
    jobs = Jobs()
    async with running(long_settings, jobs.functions, max_jobs=1) as worker:
        await until_idle(stream, worker)
        # After its first job it registers once more, and may ask again for that.
        await until_ended(stream, await push(stream, "job"))
        await until(lambda: was_told_of_a_job(stream, worker))
        await until_idle(stream, worker)
        gate = Gate(worker.stream, "claim", "finish_and_claim")
        gate.open.set()
        for _ in range(5):
            await until_ended(stream, await push(stream, "job"))
            await worker.runner.until_empty()
            await until_idle(stream, worker)
    assert gate.calls == 5


async def test_every_job_of_many_is_run_once(stream: Stream, long_settings: WorkerSettings) -> None:
    """Handed over, woken for or claimed, as it comes."""
    jobs = Jobs()
    one, two = running(long_settings, jobs.functions, max_jobs=1), running(long_settings, jobs.functions, max_jobs=3)
    async with one as first, two as second:
        for worker in (first, second):
            await asyncio.wait_for(worker.ready.wait(), 20)
        ids: list[str] = []
        for number in range(60):
            ids += await asyncio.gather(*(push(stream, "job") for _ in range(1 + number % 3)))
            await asyncio.sleep(0.003 * (number % 4))
        for job_id in ids:
            assert (await until_ended(stream, job_id)).status is Status.FINISHED
    assert sorted(jobs.began) == sorted((job_id, 1) for job_id in ids)
    counts = await stream.counts()
    assert (counts.length, counts.waiting, counts.pending) == (0, 0, 0)


async def test_a_worker_without_room_hands_it_back(stream: Stream, long_settings: WorkerSettings) -> None:
    """Its model has crashed, and the server has not been told yet that it is not idle any more."""
    jobs = Jobs()
    async with running(long_settings, jobs.functions) as first:
        await until_idle(stream, first)
        gate = Gate(first.stream, "claim")
        first.set_capacity(0)
        await until(lambda: gate.calls == 1)
        job_id = await push(stream, "job")
        async with running(long_settings, jobs.functions) as second:
            view = await until_ended(stream, job_id)
            assert view.result == f'"{second.id}"'.encode()
        gate.open.set()
    assert (view.attempts, jobs.began) == (1, [(job_id, 1)])


async def test_a_worker_that_is_stopping_hands_it_back(stream: Stream, long_settings: WorkerSettings) -> None:
    jobs = Jobs(goes_on=False)
    settings = long_settings.model_copy(update={"grace_s": 60.0})
    async with running(settings, jobs.functions, max_jobs=2) as first:
        await until_idle(stream, first)
        mine = await push(stream, "job")
        await until(lambda: len(jobs.began) == 1)
        await until_idle(stream, first)
        gate = Gate(first.stream, "claim")
        await pretend_idle(stream, first)
        first.handle_sig_wait_for_completion(Signals.SIGTERM)
        await until(lambda: gate.calls == 1)  # it is about to say that it is not to be woken
        job_id = await push(stream, "job")
        async with running(settings, jobs.functions) as second:
            await until(lambda: len(jobs.began) == 2)
            assert first.runner.held() == [(mine, 1)]
            jobs.go_on.set()
            view = await until_ended(stream, job_id)
            assert view.result == f'"{second.id}"'.encode()
        gate.open.set()
        assert (await until_ended(stream, mine)).result == f'"{first.id}"'.encode()
    assert jobs.began == [(mine, 1), (job_id, 1)]


async def test_a_claim_that_was_under_way_brings_no_job_too_many(stream: Stream, long_settings: WorkerSettings) -> None:
    """It asked for one job when one was handed over: the second goes back, and waits for its turn."""
    jobs = Jobs(goes_on=False)
    async with running(long_settings, jobs.functions, max_jobs=1) as worker:
        await until_idle(stream, worker)
        gate = Gate(worker.stream, "claim")
        worker.claims.wake()
        await until(lambda: gate.calls == 1)
        first = await push(stream, "job")
        await until(lambda: len(jobs.began) == 1)
        second = await push(stream, "job")
        gate.open.set()

        async def is_released() -> bool:
            return (await stream.counts()).released == 1

        await until(is_released)
        jobs.go_on.set()
        for job_id in (first, second):
            assert (await until_ended(stream, job_id)).attempts == 1
    assert (jobs.began, jobs.most) == ([(first, 1), (second, 1)], 1)


def holding_back(worker: Worker) -> list[Callable[[], None]]:
    """Jobs that are handed to the worker wait in this list, until each is called."""
    held: list[Callable[[], None]] = []
    take = worker.claims.take
    worker.claims.take = lambda job: held.append(lambda: take(job))  # type: ignore[method-assign]
    return held


async def test_a_message_is_lost_with_its_connection(stream: Stream, long_settings: WorkerSettings) -> None:
    jobs = Jobs()
    async with running(long_settings, jobs.functions, max_jobs=1) as worker:
        lost = holding_back(worker)
        await until_idle(stream, worker)
        job_id = await push(stream, "job")
        await until(lambda: len(lost) == 1)
        view = await stream.view(job_id)
        assert view is not None
        assert view.status is Status.PROCESSING
        await stream.redis.client_kill_filter(_type="pubsub")
        view = await until_ended(stream, job_id)
    assert (view.status, jobs.began) == (Status.FINISHED, [(job_id, 1)])


async def test_a_worker_that_the_server_does_not_know_as_idle_asks_again(
    stream: Stream, worker_settings: WorkerSettings
) -> None:
    jobs = Jobs()
    settings = worker_settings.model_copy(update={"lease_s": 1.5})
    async with running(settings, jobs.functions) as worker:

        async def is_idle() -> bool:
            return (await stream.counts()).idle_workers == 1

        await until(is_idle)
        await command(stream, "ZREM", key(stream, "idle"), worker.id)
        assert (await until_ended(stream, await push(stream, "job"))).status is Status.FINISHED


async def test_a_message_that_comes_late(stream: Stream, long_settings: WorkerSettings) -> None:
    """Its job has been handed back meanwhile, as one that nobody heard of, and has been claimed again."""
    jobs = Jobs(goes_on=False)
    async with running(long_settings, jobs.functions, max_jobs=3) as worker:
        late = holding_back(worker)
        await until_idle(stream, worker)
        job_id = await push(stream, "job")
        await until(lambda: len(late) == 1)
        worker.claims.messages_were_missed()
        await until(lambda: len(jobs.began) == 1)
        late[0]()
        await asyncio.sleep(0.05)
        assert worker.life.running == 1
        jobs.go_on.set()
        view = await until_ended(stream, job_id)
    assert (view.status, jobs.began, jobs.cancelled) == (Status.FINISHED, [(job_id, 1)], 0)


def answering_late(worker: Worker) -> tuple[asyncio.Event, asyncio.Event]:
    """Set once the server has handed back what the worker does not know, and what lets the worker hear of it."""
    done, go_on = asyncio.Event(), asyncio.Event()
    release_unknown = worker.stream.release_unknown

    async def answer_late(*args: Any) -> list[str]:
        entries = await release_unknown(*args)
        done.set()
        await go_on.wait()
        return entries

    worker.stream.release_unknown = answer_late  # type: ignore[method-assign,assignment]
    return done, go_on


async def test_a_message_that_comes_while_its_job_is_handed_back(stream: Stream, long_settings: WorkerSettings) -> None:
    """The job is another worker's by then, and does not begin here."""
    jobs = Jobs(goes_on=False)
    async with running(long_settings, jobs.functions, max_jobs=3) as first:
        late = holding_back(first)
        await until_idle(stream, first)
        job_id = await push(stream, "job")
        await until(lambda: len(late) == 1)
        _, go_on = answering_late(first)
        first.claims.messages_were_missed()
        async with running(long_settings, jobs.functions) as second:
            await until(lambda: len(jobs.began) == 1)
            late[0]()
            go_on.set()
            await until(lambda: first.claims._may_be_woken and not first.claims._claiming)
            assert (first.life.running, second.life.running) == (0, 1)
            jobs.go_on.set()
            view = await until_ended(stream, job_id)
            assert view.result == f'"{second.id}"'.encode()
    assert (view.attempts, jobs.began, jobs.cancelled) == (1, [(job_id, 1)], 0)


async def test_a_job_that_is_handed_over_just_after_others_were_handed_back_begins_once(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    jobs = Jobs(goes_on=False)
    async with running(long_settings, jobs.functions, max_jobs=3) as worker:
        late = holding_back(worker)
        await until_idle(stream, worker)
        done, go_on = answering_late(worker)
        worker.claims.messages_were_missed()
        await done.wait()
        job_id = await push(stream, "job")
        await until(lambda: len(late) == 1)
        late[0]()
        go_on.set()
        await until(lambda: worker.life.running == 1)
        jobs.go_on.set()
        view = await until_ended(stream, job_id)
    assert (view.status, jobs.began, jobs.cancelled) == (Status.FINISHED, [(job_id, 1)], 0)


async def test_a_burst_worker_and_one_with_a_function_that_is_never_tried_take_none(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    """A push knows neither `max_burst_jobs` nor `max_tries`."""
    jobs = Jobs()

    async def never(ctx: dict[str, Any]) -> None:
        raise AssertionError

    functions = [*jobs.functions, func(never, name="never", max_tries=0)]
    async with running(long_settings, functions) as worker:
        await until_idle(stream, worker)
        job_id = await push(stream, "never")
        view = await until_ended(stream, job_id)
        assert view.error is not None
        assert (view.attempts, view.error["type"]) == (0, "AttemptsExhausted")
        assert (await until_ended(stream, await push(stream, "job"))).status is Status.FINISHED
    late = await push(stream, "job")
    async with running(long_settings, jobs.functions, burst=True) as worker:
        assert not worker.claims.takes_jobs
        assert (await until_ended(stream, late)).status is Status.FINISHED


async def test_a_large_job_is_claimed(stream: Stream, long_settings: WorkerSettings) -> None:
    sizes: list[int] = []

    async def measure(ctx: dict[str, Any], text: str) -> None:
        sizes.append(len(text))

    taken: list[Claimed] = []
    async with running(long_settings, [func(measure, name="measure")]) as worker:
        worker.claims.take = taken.append  # type: ignore[method-assign,assignment]
        await until_idle(stream, worker)
        job_id = await push(stream, "measure", b'["' + b"x" * 100_000 + b'"]')
        assert (await until_ended(stream, job_id)).status is Status.FINISHED
    assert (sizes, taken) == ([100_000], [])


async def test_a_worker_that_is_woken_before_its_claim_is_answered_asks_again(
    stream: Stream, long_settings: WorkerSettings
) -> None:
    """The claim found nothing and made it known as idle, and the wake-up of that is known before the answer is."""
    jobs = Jobs()
    left = await push(stream, "job")
    held = await stream.claim("leaving", 1)
    async with running(long_settings, jobs.functions, max_jobs=1) as worker:
        await until_idle(stream, worker)
        answer = Gate(worker.stream, "finish_and_claim", before=False)
        await push(stream, "job")
        await until(lambda: is_idle(stream))
        await stream.release("leaving", [(job.id, job.attempt) for job in held])
        await until(lambda: worker.claims._woken_beside)
        answer.open.set()
        assert (await until_ended(stream, left)).status is Status.FINISHED
