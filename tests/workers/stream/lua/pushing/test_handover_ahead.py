"""A push of several jobs has the only idle worker hold the next ones ahead: which, and when it has it hold none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.stream.actions import EMPTY, finish, listening, new, see, until
from tests.workers.stream.lua.pushing.test_handover import LARGE, Idle
from workers.stream import AheadStart, ClaimCall, JobOptions, NewJob, Status, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def idle(stream: Stream) -> AsyncIterator[Idle]:
    """A worker that waits for a job, and would hold two others."""
    worker = Idle(stream, "idle")
    async with listening(worker.subscription):
        await worker.wait()
        await ask(stream, worker, ahead=2)
        yield worker


async def ask(stream: Stream, worker: Idle, ahead: int, slots: int = 1) -> None:
    """It finds nothing to claim, and has said how many jobs it would hold."""
    turn = await stream.finish_and_claim(worker.name, (), ClaimCall(slots, 0, worker.ready_ms, ahead=ahead))
    assert (turn.claimed, turn.held) == ([], [])


async def pushed(stream: Stream, *jobs: NewJob) -> list[str]:
    assert {one.outcome for one in await stream.push_many(jobs)} == {"accepted"}
    return [job.id for job in jobs]


async def test_it_holds_as_many_as_it_asked_for_and_they_are_queued_for_everybody(stream: Stream, idle: Idle) -> None:
    options = JobOptions(timeout_s=2.5, tag="\u00fc 7")
    third = new("an id of \u00fc, 7\n", b"[7]", kwargs=b'{"n":7}')._replace(options=options)
    ids = await pushed(stream, new(), new(), third, new())

    await until(lambda: len(idle.held) == 2)

    assert [job.id for job in (*idle.jobs, *idle.held)] == ids[:3]
    assert idle.held[1][2:6] == (third.function, third.args, third.kwargs, 1)
    assert idle.held[1].options == options
    assert await stream.counts() == EMPTY._replace(length=4, waiting=1, pending=3, ahead=2, workers=1)
    for job in idle.held:
        view = await see(stream, job.id)
        assert (view.status, view.attempts, view.queued_ms) == (Status.QUEUED, 0, job.queued_ms)
    assert [job.id for job in await stream.claim("other", 5)] == ids[3:]


async def test_what_it_holds_so_is_started_and_handed_back_like_any_other(stream: Stream, idle: Idle) -> None:
    ids = await pushed(stream, new(), new(), new())
    await until(lambda: len(idle.held) == 2)
    second, third = idle.held

    await finish(stream, "idle", idle.jobs)
    turn = await stream.finish_and_claim("idle", (), ClaimCall(-1), [AheadStart(second.id, second.entry, 1, 0.0)])
    assert turn.started == [True]
    assert (await see(stream, second.id)).status is Status.PROCESSING
    assert await stream.release_ahead("idle", [(third.id, third.entry)]) == 1
    assert [(job.id, job.attempt) for job in await stream.claim("other", 5)] == [(ids[2], 1)]


async def test_another_idle_worker_gets_a_job_and_nobody_holds_one(stream: Stream, idle: Idle) -> None:
    other = Idle(stream, "other", 1)
    async with listening(other.subscription):
        await other.wait()
        ids = await pushed(stream, new(), new(), new())
        await until(lambda: bool(idle.jobs and other.jobs))
    assert [job.id for job in (*idle.jobs, *other.jobs)] == ids[:2]
    assert idle.held == []
    assert await stream.counts() == EMPTY._replace(length=3, waiting=1, pending=2, workers=2)


async def test_so_does_one_with_more_slots(stream: Stream, idle: Idle) -> None:
    await ask(stream, idle, ahead=2, slots=8)
    ids = await pushed(stream, *(new() for _ in range(4)))
    await until(lambda: len(idle.held) == 2)
    assert [job.id for job in (*idle.jobs, *idle.held)] == ids[:3]
    assert await stream.counts() == EMPTY._replace(length=4, waiting=1, pending=3, ahead=2, workers=1)


async def test_it_holds_nothing_that_it_did_not_ask_for(stream: Stream, idle: Idle) -> None:
    await ask(stream, idle, ahead=0)
    await pushed(stream, new(), new())
    await until(lambda: bool(idle.jobs))
    assert await stream.counts() == EMPTY._replace(length=2, waiting=1, pending=1, workers=1)
    assert idle.held == []


async def test_a_push_that_asks_for_an_order_has_nothing_held(stream: Stream, idle: Idle) -> None:
    await pushed(stream, new(), new(), new()._replace(options=JobOptions(priority="high")))
    await until(lambda: bool(idle.heard))
    assert (await stream.counts()).ahead == 0
    assert idle.held == []


async def test_what_does_not_fit_into_a_message_is_to_be_claimed_and_what_is_behind_it(
    stream: Stream, idle: Idle
) -> None:
    ids = await pushed(stream, new(), new(args=LARGE), new())
    await until(lambda: bool(idle.jobs))
    counts = await stream.counts()
    assert (counts.ahead, counts.released) == (0, 2)
    assert [job.id for job in await stream.claim("other", 5)] == ids[1:]
    assert idle.held == []
