"""Spare processes that take over from those that end. All on real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.workers.model_host.tools import ONE_LOOP, do, eventually, gone, make, running, told
from workers.model_host import spares as spares_module
from workers.model_host.errors import ModelCrashed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run

pytestmark = ONE_LOOP

NAMED = "tests.workers.model_host.models:Named"
WEIGHTS = "tests.workers.model_host.forks.models:Weights"


@pytest.fixture(autouse=True)
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that has a line for each process that loaded the model."""
    file = tmp_path / "loads"
    monkeypatch.setenv("LOADS_FILE", str(file))
    monkeypatch.setattr(spares_module, "BACKOFF_S", 0.05)
    return file


def pids(loads: Path) -> list[int]:
    return list(map(int, loads.read_text().split()))


async def loaded(loads: Path, count: int) -> list[int]:
    """The ids of all processes that have loaded the model so far, once there are so many."""
    await eventually(lambda: len(pids(loads)) == count)
    return pids(loads)


def test_a_spare_takes_over_and_is_replaced(run: Run, loads: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        times: list[float] = []
        counts: list[int] = []
        host = make(WEIGHTS, spares=1, on_room=counts.append, on_load_s=times.append)
        async with running(host):
            await eventually(lambda: len(times) == 2)
            pid, spare = await loaded(loads, 2)
            assert await do(host, "pid") == pid
            job = asyncio.create_task(do(host, "hang", str(tmp_path / "pid")))
            await told(tmp_path / "pid")

            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job

            assert await do(host, "pid") == spare
            assert counts == [1, 0, 1]
            assert (await loaded(loads, 3))[:2] == [pid, spare]

    run(scenario())


def test_a_spare_gets_no_job_and_counts_in_nothing(run: Run, loads: Path) -> None:
    async def scenario() -> None:
        async with running(make(WEIGHTS, spares=1)) as host:
            pid, _spare = await loaded(loads, 2)
            assert await asyncio.gather(*(do(host, "pid") for _ in range(3))) == [pid] * 3
            assert host.count == 1

    run(scenario())


def test_a_spare_that_dies_is_replaced(run: Run, loads: Path) -> None:
    async def scenario() -> None:
        times: list[float] = []
        async with running(make(WEIGHTS, spares=1, on_load_s=times.append)) as host:
            await eventually(lambda: len(times) == 2)
            pid, spare = await loaded(loads, 2)
            os.kill(spare, signal.SIGKILL)
            await eventually(lambda: len(times) == 3)
            assert gone(spare)
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)
            assert await do(host, "pid") not in (pid, spare)

    run(scenario())


def test_a_spare_keeps_its_index_and_the_next_gets_the_free_one(run: Run) -> None:
    async def scenario() -> None:
        times: list[float] = []
        async with running(make(NAMED, spares=1, devices=("a", "b"), on_load_s=times.append)) as host:
            found = []
            for count in (2, 3, 4):
                while len(times) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                found.append(tuple((await do(host, "loaded")).values()))
                with pytest.raises(ModelCrashed):
                    await do(host, "leave_at_once", 3)
            assert found == [("0", "a"), ("1", "b"), ("0", "a")]

    run(scenario())


def test_a_spare_of_the_same_device_goes_first(run: Run) -> None:
    async def scenario() -> None:
        times: list[float] = []
        async with running(make(NAMED, spares=2, devices=("a", "b"), on_load_s=times.append)) as host:
            await eventually(lambda: len(times) == 3)
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)
            assert await do(host, "loaded") == {"MODEL_PROCESS_INDEX": "2", "CUDA_VISIBLE_DEVICES": "a"}

    run(scenario())


@pytest.mark.parametrize(("model", "count"), [("Weights", 1), ("Threaded", 3)])
def test_spares_are_loaded_only_if_the_model_is_not_forked(run: Run, loads: Path, model: str, count: int) -> None:
    async def scenario() -> None:
        async with running(make(f"tests.workers.model_host.forks.models:{model}", spares=1, is_forked=True)) as host:
            assert await do(host, "echo", 1) == 1
            await loaded(loads, count)

    run(scenario())


def test_a_spare_takes_over_only_if_it_answers_what_a_broken_model_could_not(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN_FILE", str(tmp_path / "broken"))

    async def scenario() -> None:
        times: list[float] = []
        host = make("tests.workers.models:Sticky", spares=1, max_failures=1, on_load_s=times.append)
        async with running(host):
            await eventually(lambda: len(times) == 2)
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed, match="seems to be broken"):
                await do(host, "break_down")
            assert await do(host, "pid") != pid

    run(scenario())
