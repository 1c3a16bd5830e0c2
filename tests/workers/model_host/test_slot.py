"""A model that is broken for good, bad inputs in succession, and processes that are replaced after so many jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.model_host.tools import ONE_LOOP, do, eventually, gone, make, running
from workers.model_host import slot as slot_module
from workers.model_host.errors import ModelAskedAgain, ModelCrashed, ModelRaised, ModelTimedOut, ModelUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run
    from workers.model_host.host import ModelHost

pytestmark = [ONE_LOOP, pytest.mark.usefixtures("is_forked")]

STICKY = "tests.workers.models:Sticky"
FAILURES = 3


@pytest.fixture(autouse=True)
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists the model fails every job."""
    file = tmp_path / "broken"
    monkeypatch.setenv("BROKEN_FILE", str(file))
    monkeypatch.setattr(slot_module, "BROKEN_S", 0.2)
    return file


async def fail(host: ModelHost, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ModelRaised):
            await do(host, "fail", "a bad input")


def test_bad_inputs_in_succession_do_not_stop_a_model_that_works(run: Run) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(STICKY, max_failures=FAILURES, on_room=counts.append)) as host:
            pid = await do(host, "pid")
            await fail(host, 5 * FAILURES)
            assert await do(host, "pid") == pid
            assert counts == [1]

    run(scenario())


def test_a_process_that_is_broken_is_replaced_and_its_last_job_tried_again(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(STICKY, max_failures=FAILURES)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised):
                await do(host, "break_down")
            for _ in range(FAILURES - 2):
                with pytest.raises(ModelRaised):
                    await do(host, "echo", 1)
            with pytest.raises(ModelCrashed, match=r"the model seems to be broken: .* had answered before: .*CUDA"):
                await do(host, "echo", 1)
            assert await do(host, "pid") != pid
            assert gone(pid)

    run(scenario())


def test_a_model_that_is_replaced_in_vain_rests_and_hands_its_jobs_back(run: Run, broken: Path) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(STICKY, max_failures=FAILURES, on_room=counts.append)) as host:
            assert await do(host, "echo", 1) == 1
            broken.touch()
            for _ in range(FAILURES - 1):
                with pytest.raises(ModelRaised):
                    await do(host, "echo", 1)
            with pytest.raises(ModelCrashed):
                await do(host, "echo", 1)
            for _ in range(2):
                with pytest.raises(ModelUnavailable):
                    await do(host, "echo", 1)
            assert counts == [1, 0]
            broken.unlink()
            await eventually(lambda: host.count == 1)
            assert await do(host, "echo", 2) == 2

    run(scenario())


def test_a_model_that_never_answered_is_broken_if_its_second_process_fails_as_often(run: Run) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(STICKY, max_failures=FAILURES, on_room=counts.append)) as host:
            await fail(host, 2 * FAILURES)
            with pytest.raises(ModelUnavailable):
                await do(host, "echo", 1)
            assert counts == [1, 0, 1, 0]
            await eventually(lambda: host.count == 1)
            assert await do(host, "echo", 1) == 1
            await fail(host, 2 * FAILURES)
            assert counts == [1, 0, 1, 0, 1]

    run(scenario())


def test_crashes_and_time_outs_count_too(run: Run, broken: Path) -> None:
    async def scenario() -> None:
        async with running(make(STICKY, max_failures=2)) as host:
            assert await do(host, "echo", 1) == 1
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)
            await eventually(lambda: host.count == 1)
            with pytest.raises(ModelTimedOut, match=r"longer than 0\.1 s"):
                await do(host, "spin", 600, timeout_s=0.1)
            broken.touch()
            with pytest.raises(ModelUnavailable):
                await do(host, "echo", 1)
            broken.unlink()
            await eventually(lambda: host.count == 1)
            assert await do(host, "echo", 1) == 1

    run(scenario())


def test_attempts_that_the_model_asks_for_are_no_failures(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(STICKY, max_failures=1)) as host:
            pid = await do(host, "pid")
            for _ in range(3):
                with pytest.raises(ModelAskedAgain):
                    await do(host, "ask_again", 1)
            assert await do(host, "pid") == pid

    run(scenario())


def test_a_process_is_replaced_after_so_many_jobs_or_a_fifth_less(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(STICKY, max_jobs=10)) as host:
            pids = [await do(host, "pid") for _ in range(40)]
        lives = [pids.count(pid) for pid in dict.fromkeys(pids)]
        assert set(lives[:-1]) <= {8, 9, 10}
        assert len(lives) >= 4

    run(scenario())
