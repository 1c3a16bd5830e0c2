"""A scaler's rounds, on real servers: leading, following, holding, going on after a restart."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from tests.workers.scaler.policy.tools import beside, until
from tests.workers.stream.actions import accept, command, finish_all, key
from workers.scaler.loop import Alone, Scaler
from workers.scaler.memory import load
from workers.scaler.observer import Replicas, Unseen
from workers.scaler.policy import Options
from workers.stream import Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest

    from tests.servers import Server
    from workers.scaler.memory import Verdict
    from workers.scaler.policy import State

OPTIONS = Options(max_replicas=4)


class Workers:
    """An observer that sees what the test says."""

    def __init__(self) -> None:
        self.replicas: Replicas | None = Replicas(0, 0)

    async def look(self) -> Replicas:
        if self.replicas is None:
            raise Unseen("the pods can't be watched (it is down)")
        return self.replicas


class Chosen:
    """A leadership that the test gives."""

    def __init__(self, leads: bool) -> None:
        self.leads = leads


@contextlib.asynccontextmanager
async def running(scaler: Scaler) -> AsyncIterator[Scaler]:
    async with beside(scaler.run()):
        yield scaler
    await scaler.close()


def wants(scaler: Scaler, least: int, held: bool = False) -> Callable[[], bool]:
    return lambda: scaler.verdict is not None and scaler.verdict.replicas >= least and scaler.verdict.held is held


def state_of(scaler: Scaler) -> State | None:
    return scaler.brain.state if scaler.brain is not None else None


def since_s(scaler: Scaler) -> float:
    """When the policy's memory begins."""
    state = state_of(scaler)
    assert state is not None
    return state.arrivals.since_s


async def test_a_job_is_a_decision_at_once_and_its_end_another(one_stream: Stream) -> None:
    workers = Workers()
    acts: list[int] = []

    async def act(verdict: Verdict) -> None:
        acts.append(verdict.replicas)

    async with running(Scaler(one_stream, OPTIONS, workers, Alone(), act)) as scaler:
        await until(lambda: scaler.verdict is not None)
        assert acts[-1] == 0
        assert [scaler.active] == [False]
        await accept(one_stream)
        await until(wants(scaler, 1))
        assert [scaler.active] == [True]
        assert acts[-1] >= 1
        workers.replicas = Replicas(1, 1)
        await finish_all(one_stream)
        await until(lambda: scaler.outstanding == 0)


async def test_jobs_wake_a_scaler_without_workers(one_stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.scaler.loop.ROUND_S", 3600.0)

    async def listens() -> bool:
        return bool((await command(one_stream, "PUBSUB", "NUMSUB", key(one_stream, "wake:")))[1])

    async with running(Scaler(one_stream, OPTIONS, Workers(), Alone())) as scaler:
        await until(lambda: scaler.verdict is not None)
        await until(listens)
        await accept(one_stream)
        await until(wants(scaler, 1))


async def test_others_say_what_the_leader_says(one_stream: Stream, one_settings: StreamSettings) -> None:
    other_stream = Stream(one_settings)
    workers = Workers()
    first, second = Chosen(True), Chosen(False)
    leader = Scaler(one_stream, OPTIONS, workers, first)
    async with running(leader), running(Scaler(other_stream, OPTIONS, workers, second)) as follower:
        await accept(one_stream, 3)
        await until(wants(leader, 1))
        await until(wants(follower, 1))
        assert follower.outstanding == 3
        assert state_of(follower) is None
        # The follower goes on where the leader ended.
        state = state_of(leader)
        assert state is not None
        await leader.close()
        first.leads, second.leads = False, True
        await until(lambda: state_of(follower) is not None)
        await until(lambda: state_of(leader) is None)
        assert since_s(follower) == state.arrivals.since_s
        await accept(one_stream, 10)
        await until(wants(leader, 2))
    await other_stream.close()


async def test_old_decision_is_not_presented_as_a_new_one(one_stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody leads: the last decision holds, and says so."""
    monkeypatch.setattr("workers.scaler.loop._OLD_S", 0.5)
    await accept(one_stream)
    async with running(Scaler(one_stream, OPTIONS, Workers(), Alone())) as leader:
        await until(wants(leader, 1))
    async with running(Scaler(one_stream, OPTIONS, Workers(), Chosen(False))) as follower:
        await until(wants(follower, 1, held=True))
        assert follower.verdict is not None
        assert follower.verdict.reason.startswith("nobody has decided for ")


async def test_restarted_scaler_goes_on(one_stream: Stream, one_settings: StreamSettings) -> None:
    workers = Workers()
    workers.replicas = Replicas(1, 1, (), (33.0,))
    await accept(one_stream, 2)
    async with running(Scaler(one_stream, OPTIONS, workers, Alone())) as scaler:
        await until(wants(scaler, 1))
        before = scaler.brain
    assert before is not None
    memory = load(await one_stream.remembered())
    assert memory is not None
    assert (memory.state, memory.verdict, memory.arrived) == (before.state, before.verdict, 2)
    workers.replicas = Replicas(1, 1)
    await accept(one_stream, 5)  # while it was away
    again = Stream(one_settings)
    async with running(Scaler(again, OPTIONS, workers, Alone())) as scaler:
        await until(lambda: scaler.brain is not None and scaler.brain.snapshot is not None)
        assert scaler.brain is not None
        assert scaler.brain.state is not None
        assert scaler.brain.state.startups.quantile_s(0.5) == 33.0
        assert scaler.brain.snapshot is not None
        assert scaler.brain.snapshot.arrived == 7
    await again.close()


async def test_decision_holds_while_workers_cannot_be_seen(
    one_stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workers = Workers()
    await accept(one_stream, 2)
    async with running(Scaler(one_stream, OPTIONS, workers, Alone())) as scaler:
        await until(wants(scaler, 1))
        assert scaler.verdict is not None
        before = scaler.verdict
        workers.replicas = None
        await until(wants(scaler, 1, held=True))
        assert scaler.verdict.replicas == before.replicas
        assert scaler.verdict.at_ms >= before.at_ms
        assert "the pods can't be watched (it is down), for" in scaler.verdict.reason
        assert scaler.failures > 0
        workers.replicas = Replicas(1, 1)
        await until(wants(scaler, 1))
    assert caplog.text.count("the pods can't be watched") == 1
    assert "replicas: " in caplog.text


async def test_decision_holds_while_the_server_is_away(start_server: Callable[..., Server]) -> None:
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    settings = StreamSettings(redis_url=server.url, redis_timeout_s=0.5)
    stream, other = Stream(settings), Stream(settings)
    await stream.open()
    await accept(stream, 3)
    follower = Scaler(other, OPTIONS, Workers(), Chosen(False))
    async with running(Scaler(stream, OPTIONS, Workers(), Alone())) as scaler, running(follower):
        await until(wants(scaler, 1))
        await until(wants(follower, 1))
        assert scaler.verdict is not None
        wanted = scaler.verdict.replicas
        server.kill()
        await until(wants(scaler, 1, held=True))
        await until(lambda: scaler.outstanding is None and follower.outstanding is None)
        assert scaler.verdict.replicas == wanted
        assert scaler.active
        assert follower.active
        server.start()
        await until(wants(scaler, 1))
        assert scaler.outstanding == 3
    await stream.close()
    await other.close()


async def test_scaler_that_starts_without_a_server_waits_for_it(start_server: Callable[..., Server]) -> None:
    server = start_server()
    server.kill()
    stream = Stream(StreamSettings(redis_url=server.url, redis_timeout_s=0.5))
    async with running(Scaler(stream, OPTIONS, Workers(), Alone())) as scaler:
        await until(lambda: scaler.failures > 0)
        assert scaler.verdict is None
        assert scaler.outstanding is None
        assert not scaler.active
        server.start()
        await until(lambda: scaler.verdict is not None)
    await stream.close()


async def test_deed_that_fails_is_done_again(one_stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    deeds: list[float] = []

    async def act(_verdict: Verdict) -> None:
        deeds.append(time.monotonic())
        raise Unseen("the Deployment can't be scaled (it is down)")

    async with running(Scaler(one_stream, OPTIONS, Workers(), Alone(), act)):
        await until(lambda: len(deeds) >= 3)
    assert caplog.text.count("can't be scaled") == 1


async def test_decision_is_logged_now_and_then(
    one_stream: Stream, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("workers.scaler.loop._LOG_S", 0.0)
    async with running(Scaler(one_stream, OPTIONS, Workers(), Alone())):
        await until(lambda: caplog.text.count("0 replicas: ") >= 2)


async def test_round_that_fails_is_not_the_last(one_stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers()
    await accept(one_stream)
    async with running(Scaler(one_stream, OPTIONS, workers, Alone())) as scaler:
        await until(wants(scaler, 1))
        workers.replicas = 3  # type: ignore[assignment] # whatever goes wrong that nobody has thought of
        await until(wants(scaler, 1, held=True))
        workers.replicas = Replicas(1, 1)
        await until(wants(scaler, 1))
    assert caplog.text.count("Traceback") == 1
