"""One process from its start to its end: crashes, cancels, states. All on real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import MEGABYTE, do, eventually, gone, make, options, running, told
from workers.model_host.errors import ModelCrashed, ModelLoadFailed
from workers.model_host.process.process import ModelProcess
from workers.model_host.process.start import start
from workers.model_host.process.state import ProcessState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.workers.model_host.tools import Run


def started(on_change: Callable[[ProcessState, ProcessState], None] = lambda _before, _after: None) -> ModelProcess:
    return ModelProcess(options(), partial(start, options(), {}), on_change)


@pytest.mark.usefixtures("is_forked")
def test_input_larger_than_the_socket_holds(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(max_result_bytes=40 * MEGABYTE)) as host:
            value = "x" * 20 * MEGABYTE
            assert await do(host, "echo", value) == value

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize(
    ("script", "how"),
    [
        (["leave", 3], "exited with code 3"),
        (["leave_at_once", 4], "exited with code 4"),
        (["segfault"], "was killed by SIGSEGV"),
        (["garble"], "broke the protocol"),
        (["close_all"], "closed its connection"),
    ],
)
def test_crash_fails_one_job(run: Run, script: list[Any], how: str) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(on_room=counts.append)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed, match=f"^the model's process {how}$"):
                await do(host, *script)
            assert gone(pid)
            assert counts == [1, 0]
            assert host.count == 0
            assert await do(host, "pid") != pid
            assert counts == [1, 0, 1]
        assert counts == [1, 0, 1, 0]

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_killed_from_outside(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(on_room=counts.append)) as host:
            job = asyncio.create_task(do(host, "hang", str(tmp_path / "pid")))
            os.kill(await told(tmp_path / "pid"), signal.SIGKILL)
            with pytest.raises(ModelCrashed, match="was killed by SIGKILL"):
                await job
            pid = await do(host, "pid")
            counts.clear()
            os.kill(pid, signal.SIGKILL)  # while idle
            await eventually(lambda: 0 in counts)
            assert await do(host, "pid") != pid

    run(scenario())


def test_cancelled_in_the_moment_of_the_answer(run: Run) -> None:
    class Cancelling(ModelProcess):
        job: asyncio.Task[bytes] | None = None

        def data_received(self, data: bytes) -> None:
            if self.job is not None:
                self.job.cancel()
            super().data_received(data)

    async def scenario() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        process = Cancelling(options(), partial(start, options(), {}), lambda _before, _after: None)
        await process.load()
        process.job = asyncio.create_task(process.predict(orjson.dumps(["echo", 1])))
        with pytest.raises(asyncio.CancelledError):
            await process.job
        process.job = None
        assert await process.predict(b'["echo",2]') == b"2", "the job was over, so its process is fit for another"
        await process.stop()
        assert complaints == []

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_crash_takes_along_what_the_model_started(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            with pytest.raises(ModelCrashed, match="exited with code 7"):
                await do(host, "crash_beside_child", str(tmp_path / "pid"))
            pid = await told(tmp_path / "pid")
            await eventually(lambda: gone(pid))

    run(scenario())


def test_loop_goes_on_while_the_model_holds_the_gil(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            job = asyncio.create_task(do(host, "spin", 1.0))
            beats = 0
            while not job.done():
                await asyncio.sleep(0.01)
                beats += 1
            assert await job == "span"
            assert beats > 20

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize("script", ["hang", "hang_with_child"])
def test_cancel_kills_the_process(run: Run, tmp_path: Path, script: str) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(on_room=counts.append)) as host:
            model = await do(host, "pid")
            job = asyncio.create_task(do(host, script, str(tmp_path / "pid")))
            pid = await told(tmp_path / "pid")
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(model)
            assert counts == [1, 0]
            await eventually(lambda: gone(pid))
            assert await do(host, "pid") != model
            assert counts == [1, 0, 1]

    run(scenario())


def test_cancelled_twice_still_waits_for_the_end(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            job = asyncio.create_task(do(host, "hang", str(tmp_path / "pid")))
            pid = await told(tmp_path / "pid")
            for _ in range(3):
                job.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)

    run(scenario())


def test_cancel_while_sending(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            job = asyncio.create_task(host.predict(orjson.dumps(["long", "x" * 50 * MEGABYTE])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)
            assert await do(host, "pid") != pid

    run(scenario())


def test_load_timeout(run: Run) -> None:
    async def scenario() -> None:
        host = make("tests.workers.models:Hangs", load_timeout_s=0.3)
        with pytest.raises(ModelLoadFailed, match=r"it took longer than 0\.3 s$"):
            await host.run()

    run(scenario())


def test_no_process_can_be_started(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async def scenario() -> None:
        with pytest.raises(ModelLoadFailed, match="could not be started: "):
            await make().run()

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_loop_that_ends_first_leaves_nothing(run: Run) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def scenario() -> None:
        host = make(size=2)
        tasks.append(asyncio.create_task(host.run()))
        await host.loaded()
        tasks.append(asyncio.create_task(do(host, "spin", 60)))
        await asyncio.sleep(0.05)

    run(scenario())  # the fixture looks for processes once the loop is closed


def test_a_process_changes_its_state_step_by_step(run: Run) -> None:
    async def scenario() -> None:
        states: list[ProcessState] = []
        process = started(lambda _, after: states.append(after))
        assert process.state is ProcessState.LOADING

        await process.load()
        for _ in range(2):
            assert await process.predict(b'["echo", "hello"]') == b'"hello"'
        await process.stop()

        answered = [ProcessState.BUSY, ProcessState.IDLE]
        assert states == [ProcessState.IDLE, *answered, *answered, ProcessState.ENDING, ProcessState.DEAD]
        assert process.how == "was stopped"

    run(scenario())


def test_a_busy_process_takes_no_other_job(run: Run) -> None:
    async def scenario() -> None:
        process = started()
        await process.load()
        first = asyncio.create_task(process.predict(b'["spin", 0.1]'))
        await asyncio.sleep(0)

        with pytest.raises(AssertionError, match="must be IDLE, and is BUSY"):
            await process.predict(b'["pid"]')

        assert await first == b'"span"'
        await process.stop()

    run(scenario())


@pytest.mark.parametrize("script", [["leave", 3], ["close_all"], ["garble"]])
def test_an_end_by_itself_is_dead_when_it_is_raised(run: Run, script: list[Any]) -> None:
    async def scenario() -> None:
        states: list[ProcessState] = []
        process = started(lambda _, after: states.append(after))
        await process.load()

        with pytest.raises(ModelCrashed):
            await process.predict(orjson.dumps(script))

        assert states == [ProcessState.IDLE, ProcessState.BUSY, ProcessState.ENDING, ProcessState.DEAD]

    run(scenario())
