"""What becomes of the other jobs in a process that is lost with one of them."""

from __future__ import annotations

import asyncio
import os
import signal
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import (
    ONE_LOOP,
    PATIENCE_S,
    at_once,
    begun,
    do,
    eventually,
    gone,
    make,
    running,
    told,
)
from workers.model_host.errors import ModelCrashed, ModelRaised, ModelTimedOut
from workers.model_host.protocol.job_at_hand import JobAtHand

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run, TimeLimit
    from workers.model_host.host import ModelHost

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.sharing.sharers"
SHARER = f"{MODELS}:Sharer"


@pytest.mark.parametrize(
    ("poison", "how"),
    [
        ("crashes", "was killed by SIGKILL"),
        ("exits", "exited with code 1: no more"),
        ("exits_in_a_task", "exited with code 3"),
        ("breaks", "said that it is broken: no more"),
        ("runs_out", "ran out of memory: no more"),
    ],
)
def test_a_process_that_is_lost_crashes_each_of_its_jobs_and_they_can_run_again(
    run: Run, tmp_path: Path, poison: str, how: str
) -> None:
    async def scenario() -> None:
        async with running(make(SHARER)) as host, asyncio.timeout(PATIENCE_S):
            bystanders = [begun(host, "waits", str(tmp_path / f"pid-{n}")) for n in range(3)]
            pid = await told(tmp_path / "pid-2")
            poisoned = begun(host, poison, str(tmp_path / "once"))
            outcomes = await asyncio.gather(poisoned, *bystanders, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ModelCrashed] * 4
            assert {str(outcome) for outcome in outcomes} == {f"the model's process {how}"}
            assert gone(pid)

            again = [[poison, str(tmp_path / "once")], *(["echo", number] for number in range(3))]
            assert await at_once(host, *again) == ["survived", 0, 1, 2]

    run(scenario())


@pytest.mark.parametrize(("script", "how"), [("refuses_to_end", "cancel"), ("blocks", "time-out")])
def test_a_job_that_does_not_end_costs_its_process(
    run: Run, tmp_path: Path, limit: TimeLimit, script: str, how: str
) -> None:
    async def scenario() -> None:
        async with running(make(SHARER)) as host, asyncio.timeout(PATIENCE_S):
            bystander = begun(host, "waits", str(tmp_path / "pid"))
            pid = await told(tmp_path / "pid")
            job = begun(host, script, str(tmp_path / "at-work"), timeout_s=limit.SECONDS)
            await told(tmp_path / "at-work")
            if how == "cancel":
                job.cancel()
            else:
                limit.end()
            with pytest.raises(asyncio.CancelledError if how == "cancel" else ModelTimedOut):
                await job
            with pytest.raises(ModelCrashed, match="as a job in it did not end when it was cancelled"):
                await bystander
            assert gone(pid)
            assert await do(host, "echo", 1) == 1

    run(scenario())


def test_a_fork_answers_nothing_and_a_model_that_closes_its_connection_fails_its_own_job(
    run: Run, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(make(SHARER)) as host, asyncio.timeout(PATIENCE_S):
            bystander = begun(host, "waits", str(tmp_path / "pid"))
            pid = await told(tmp_path / "pid")
            assert await do(host, "forks") == 0
            assert await do(host, "pid") == pid
            with pytest.raises(ModelRaised, match=r"^LookupError: closed$"):
                await do(host, "closes_all", "closed")
            with pytest.raises(ModelCrashed, match=r"^the model's process exited with code 1$"):
                await bystander

    run(scenario())


def test_jobs_end_with_their_host_and_with_a_process_that_is_told_to_end(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        host = make(SHARER, stop_grace_s=PATIENCE_S)
        async with running(host), asyncio.timeout(PATIENCE_S):
            for how in ("signal", "host"):
                jobs = [begun(host, "waits", str(tmp_path / f"{how}-{n}")) for n in range(3)]
                pid = await told(tmp_path / f"{how}-2")
                if how == "signal":
                    os.kill(pid, signal.SIGTERM)
                    outcomes: list[Any] = await asyncio.gather(*jobs, return_exceptions=True)
                    assert {str(outcome) for outcome in outcomes} == {"the model's process exited with code 143"}
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)
        assert {str(outcome) for outcome in outcomes} == {"the model's process was stopped"}
        assert gone(pid)

    run(scenario())


def test_a_model_that_fails_beside_other_jobs_is_found_to_be_broken(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:StickySharer", max_failures=2)) as host, asyncio.timeout(PATIENCE_S):
            pid = await do(host, "pid")
            bystander = begun(host, "waits", str(tmp_path / "pid"))
            await told(tmp_path / "pid")
            outcomes = await at_once(host, ["be_broken", str(tmp_path / "once")], ["pid"], ["pid"])
            assert isinstance(outcomes[1], ModelRaised)
            assert isinstance(outcomes[2], ModelCrashed)
            with pytest.raises(ModelCrashed, match="failed with an input that it had answered before"):
                await bystander
            assert await do(host, "pid") != pid

    run(scenario())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_whatever_happens_each_job_ends_as_it_should_and_its_place_is_free_again(run: Run, seed: int) -> None:
    """Jobs come and are cancelled at any time, beside others that fail, take too long or end their process."""
    random = Random(seed)
    kinds = {"echo": 80, "tells_slowly": 10, "fails": 6, "dies": 2, "breaks_down": 2}

    async def one(host: ModelHost, number: int) -> None:
        (kind,) = random.choices(list(kinds), list(kinds.values()))
        events: list[Any] = []
        job = JobAtHand(f"job-{number}", 1, lambda kind, value: events.append((kind, orjson.loads(value))))
        timeout_s, alone = random.choice([None, None, 0.01]), random.random() < 0.03
        await asyncio.sleep(random.uniform(0, 0.5))
        script = orjson.dumps([kind, f"job-{number}"])
        task = asyncio.create_task(host.predict(script, timeout_s, alone=alone, job=job))
        if random.random() < 0.2:
            await asyncio.sleep(random.choice([0, random.uniform(0, 0.1)]))
            task.cancel()
        await asyncio.wait([task])
        assert {value for _, value in events} <= {f"job-{number}"}
        if task.cancelled() or isinstance(error := task.exception(), ModelCrashed):
            return
        if kind == "fails":
            assert str(error) == f"LookupError: job-{number}"
        else:
            assert orjson.loads(task.result()) == ([f"job-{number}"] * 5 if kind == "tells_slowly" else f"job-{number}")

    async def scenario() -> None:
        rooms: list[int] = []
        async with running(make(SHARER, size=2, is_forked=True, on_room=rooms.append)) as host:
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
                for number in range(150):
                    group.create_task(one(host, number))
            await eventually(lambda: rooms[-1] == 40)
            assert await at_once(host, *(["echo", number] for number in range(40))) == list(range(40))

    run(scenario())
