"""A scaler's rounds, on real servers: leading, following, holding, going on after a restart."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from tests.workers.scaler.doubles import FixedLeadership, FixedWorkers
from tests.workers.scaler.tasks import beside, until
from tests.workers.stream.actions import accept, command, finish_all, key
from workers.scaler.loop import Scaler
from workers.scaler.memory import load
from workers.scaler.policy import Options
from workers.scaler.surroundings import ActuationError, ReplicasSeen, SoleLeader
from workers.stream import Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest

    from tests.servers import Server
    from workers.scaler.policy import Decision, State

OPTIONS = Options(max_replicas=4)


@contextlib.asynccontextmanager
async def running(scaler: Scaler) -> AsyncIterator[Scaler]:
    async with beside(scaler.run()):
        yield scaler
    await scaler.close()


def wants(scaler: Scaler, least: int, held: bool = False) -> Callable[[], bool]:
    return lambda: (
        scaler.status.decision is not None
        and scaler.status.decision.replicas >= least
        and scaler.status.decision.held is held
    )


def state_of(scaler: Scaler) -> State | None:
    return scaler.decider.state if scaler.decider is not None else None


def began_s(scaler: Scaler) -> float:
    """When the policy's oldest hypothesis begins."""
    state = state_of(scaler)
    assert state is not None
    return state.arrivals.hypotheses[0].began_s


async def test_a_job_is_a_decision_at_once_and_its_end_another(one_stream: Stream) -> None:
    workers = FixedWorkers()
    acts: list[int] = []

    async def act(decision: Decision) -> None:
        acts.append(decision.replicas)

    async with running(Scaler(one_stream, OPTIONS, workers, SoleLeader(), act)) as scaler:
        await until(lambda: acts[-1:] == [0])
        assert [scaler.status.active] == [False]
        await accept(one_stream)
        await until(wants(scaler, 1))
        assert [scaler.status.active] == [True]
        await until(lambda: acts[-1] >= 1)
        workers.replicas = ReplicasSeen(1, 1)
        await finish_all(one_stream)
        await until(lambda: scaler.status.outstanding == 0)


async def test_jobs_wake_a_scaler_without_workers(one_stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.scaler.models.rounds.ROUND_S", 3600.0)

    async def listens() -> bool:
        return bool((await command(one_stream, "PUBSUB", "NUMSUB", key(one_stream, "wake:")))[1])

    async with running(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())) as scaler:
        await until(lambda: scaler.status.decision is not None)
        await until(listens)
        await accept(one_stream)
        await until(wants(scaler, 1))


async def test_others_say_what_the_leader_says(one_stream: Stream, one_settings: StreamSettings) -> None:
    other_stream = Stream(one_settings)
    workers = FixedWorkers()
    first, second = FixedLeadership(True), FixedLeadership(False)
    leader = Scaler(one_stream, OPTIONS, workers, first)
    async with running(leader), running(Scaler(other_stream, OPTIONS, workers, second)) as follower:
        await accept(one_stream, 3)
        await until(wants(leader, 1))
        await until(wants(follower, 1))
        assert follower.status.outstanding == 3
        assert state_of(follower) is None
        # The follower goes on where the leader ended.
        state = state_of(leader)
        assert state is not None
        await leader.close()
        first.leads, second.leads = False, True
        await until(lambda: state_of(follower) is not None)
        await until(lambda: state_of(leader) is None)
        assert began_s(follower) == state.arrivals.hypotheses[0].began_s
        await accept(one_stream, 10)
        await until(wants(leader, 2))
    await other_stream.close()


async def test_old_decision_is_not_presented_as_a_new_one(one_stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody leads: the last decision holds, and says so."""
    monkeypatch.setattr("workers.scaler.decider._OLD_S", 0.5)
    await accept(one_stream)
    async with running(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())) as leader:
        await until(wants(leader, 1))
    async with running(Scaler(one_stream, OPTIONS, FixedWorkers(), FixedLeadership(False))) as follower:
        await until(wants(follower, 1, held=True))
        assert follower.status.decision is not None
        assert follower.status.decision.reason.startswith("nobody has decided for ")


async def test_restarted_scaler_goes_on(one_stream: Stream, one_settings: StreamSettings) -> None:
    workers = FixedWorkers()
    workers.replicas = ReplicasSeen(1, 1, (), (33.0,))
    await accept(one_stream, 2)
    async with running(Scaler(one_stream, OPTIONS, workers, SoleLeader())) as scaler:
        await until(wants(scaler, 1))
        before = scaler.decider
    assert before is not None
    memory = load(await one_stream.remembered())
    assert memory is not None
    assert (memory.state, memory.decision, memory.arrived) == (before.state, before.decision, 2)
    workers.replicas = ReplicasSeen(1, 1)
    await accept(one_stream, 5)  # while it was away
    again = Stream(one_settings)
    async with running(Scaler(again, OPTIONS, workers, SoleLeader())) as scaler:
        await until(lambda: scaler.decider is not None and scaler.decider.snapshot is not None)
        assert scaler.decider is not None
        assert scaler.decider.state is not None
        assert scaler.decider.state.startups.quantile_s(0.5) == 33.0
        assert scaler.decider.snapshot is not None
        assert scaler.decider.snapshot.arrived == 7
    await again.close()


async def test_decision_holds_while_workers_cannot_be_seen(
    one_stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workers = FixedWorkers()
    await accept(one_stream, 2)
    async with running(Scaler(one_stream, OPTIONS, workers, SoleLeader())) as scaler:
        await until(wants(scaler, 1))
        assert scaler.status.decision is not None
        before = scaler.status.decision
        workers.replicas = None
        await until(wants(scaler, 1, held=True))
        assert scaler.status.decision.replicas == before.replicas
        assert scaler.status.decision.at_ms >= before.at_ms
        assert "the pods can't be watched (it is down), for" in scaler.status.decision.reason
        assert scaler.status.failures > 0
        workers.replicas = ReplicasSeen(1, 1)
        await until(wants(scaler, 1))
    assert caplog.text.count("the pods can't be watched") == 1
    assert "replicas: " in caplog.text


async def test_decision_holds_while_the_server_is_away(start_server: Callable[..., Server]) -> None:
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    settings = StreamSettings(redis_url=server.url, redis_timeout_s=0.5)
    stream, other = Stream(settings), Stream(settings)
    await stream.open()
    await accept(stream, 3)
    follower = Scaler(other, OPTIONS, FixedWorkers(), FixedLeadership(False))
    async with running(Scaler(stream, OPTIONS, FixedWorkers(), SoleLeader())) as scaler, running(follower):
        await until(wants(scaler, 1))
        await until(wants(follower, 1))
        assert scaler.status.decision is not None
        wanted = scaler.status.decision.replicas
        server.kill()
        await until(wants(scaler, 1, held=True))
        await until(lambda: scaler.status.outstanding is None and follower.status.outstanding is None)
        assert scaler.status.decision.replicas == wanted
        assert scaler.status.active
        assert follower.status.active
        server.start()
        await until(wants(scaler, 1))
        assert scaler.status.outstanding == 3
    await stream.close()
    await other.close()


async def test_scaler_that_starts_without_a_server_waits_for_it(start_server: Callable[..., Server]) -> None:
    server = start_server()
    server.kill()
    stream = Stream(StreamSettings(redis_url=server.url, redis_timeout_s=0.5))
    async with running(Scaler(stream, OPTIONS, FixedWorkers(), SoleLeader())) as scaler:
        await until(lambda: scaler.status.failures > 0)
        assert scaler.status.decision is None
        assert scaler.status.outstanding is None
        assert not scaler.status.active
        server.start()
        await until(lambda: scaler.status.decision is not None)
    await stream.close()


async def test_actuation_that_fails_is_tried_again(one_stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    deeds: list[float] = []

    async def act(_verdict: Decision) -> None:
        deeds.append(time.monotonic())
        raise ActuationError("the Deployment can't be scaled (it is down)")

    async with running(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader(), act)):
        await until(lambda: len(deeds) >= 3)
    assert caplog.text.count("can't be scaled") == 1


async def test_decision_is_logged_now_and_then(
    one_stream: Stream, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("workers.scaler.reporting.decision_log._EVERY_S", 0.0)
    async with running(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())):
        await until(lambda: caplog.text.count("0 replicas: ") >= 2)


async def test_round_that_fails_is_not_the_last(one_stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    workers = FixedWorkers()
    await accept(one_stream)
    async with running(Scaler(one_stream, OPTIONS, workers, SoleLeader())) as scaler:
        await until(wants(scaler, 1))
        workers.replicas = 3  # type: ignore[assignment] # whatever goes wrong that nobody has thought of
        await until(wants(scaler, 1, held=True))
        workers.replicas = ReplicasSeen(1, 1)
        await until(wants(scaler, 1))
    assert caplog.text.count("Traceback") == 1
