"""Keeping processes loaded and handing them out. All on real processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.workers.model_host.tools import children, do, eventually, gone, make, open_fds, running, told
from workers.model_host.errors import ModelCrashed, ModelLoadFailed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run


def test_cancel_of_a_waiting_job_kills_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            first = asyncio.create_task(do(host, "spin", 0.3))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(do(host, "pid"))
            last = asyncio.create_task(do(host, "pid"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await first == "span"
            assert await last == pid

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("tests.workers.models:Unloadable", "ValueError: no weights here"),
        ("tests.workers.models:Exits", "the model's process exited with code 9"),
    ],
)
def test_model_that_does_not_load(run: Run, model: str, reason: str) -> None:
    async def scenario() -> None:
        host = make(model)
        with pytest.raises(ModelLoadFailed, match=f"^the model {model} could not be loaded: {reason}$"):
            await host.run()
        with pytest.raises(ModelCrashed, match="have been stopped"):
            await host.predict(b"1")

    run(scenario())


def test_load_times_are_told(run: Run) -> None:
    async def scenario() -> None:
        loads: list[float] = []
        async with running(make(on_load_s=loads.append)) as host:
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 1)
            await do(host, "pid")
        assert len(loads) == 2
        assert min(loads) > 0

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_one_failure_to_load_is_forgiven(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAKY_FILE", str(tmp_path / "flaky"))

    async def scenario() -> None:
        async with running(make("tests.workers.models:Flaky")) as host:
            assert await do(host, "echo", 1) == 1

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_two_at_once(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(size=2, on_room=counts.append)) as host:
            await eventually(lambda: host.count == 2)
            jobs = [asyncio.create_task(do(host, "hang", str(tmp_path / name))) for name in "ab"]
            pids = {await told(tmp_path / name) for name in "ab"}
            assert len(pids) == 2
            jobs[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await jobs[0]
            assert sum(map(gone, pids)) == 1
            assert counts == [1, 2, 1]
            assert await do(host, "pid") not in pids
            assert not jobs[1].done()
        with pytest.raises(ModelCrashed, match="was stopped"):
            await jobs[1]
        assert all(map(gone, pids))

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize("delay_s", [0, 0.002, 0.03, 0.2])
def test_stop_while_starting(run: Run, delay_s: float) -> None:
    async def scenario() -> None:
        before = children()
        task = asyncio.create_task(make("tests.workers.models:Hangs", 3).run())
        await asyncio.sleep(delay_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() <= before

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_many_replacements_leak_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(size=2)) as host:
            await eventually(lambda: host.count == 2)
            before = len(open_fds())
            for _ in range(15):
                with pytest.raises(ModelCrashed):
                    await do(host, "leave_at_once", 1)
            await eventually(lambda: host.count == 2)
            assert len(open_fds()) <= before

    run(scenario())
