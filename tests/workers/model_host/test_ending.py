"""How a model's process ends: what the model may still do, how long, and who goes with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.workers.model_host.tools import ONE_LOOP, children, do, eventually, gone, make, running, told
from workers.model_host.errors import ModelCrashed

if TYPE_CHECKING:
    from tests.workers.model_host.tools import Run
    from workers.model_host.host import ModelHost

CLOSING = "tests.workers.models:Closing"
LONG_S = 30.0
SHORT_S = 0.3

pytestmark = [
    ONE_LOOP,
    pytest.mark.usefixtures("is_forked"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group goes along"),
]


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the model notes what is called at its end."""
    file = tmp_path / "ending"
    monkeypatch.setenv("ENDING_FILE", str(file))
    return file


def noted(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


async def cancelled(host: ModelHost, file: Path, *script: Any) -> int:
    """Runs a script that tells its pid in `file`, and cancels it then. The result is that pid."""
    file.unlink(missing_ok=True)
    job = asyncio.create_task(do(host, *script))
    pid = await told(file)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    return pid


def test_a_stopped_model_is_closed(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=LONG_S)) as host:
            await do(host, "pid")

    run(scenario())
    assert noted(ending) == ["close", "atexit"]


def test_a_cancelled_model_is_closed(run: Run, ending: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=LONG_S)) as host:
            assert gone(await cancelled(host, tmp_path / "pid", "wait", str(tmp_path / "pid")))
            assert noted(ending) == ["finally", "close", "atexit"]

    run(scenario())


@pytest.mark.parametrize("raises", [True, False])
def test_a_models_own_handler_of_sigterm_is_called(run: Run, ending: Path, tmp_path: Path, raises: bool) -> None:
    """One that does not end `predict` has it killed after the grace."""

    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=SHORT_S)) as host:
            file = tmp_path / "pid"
            assert gone(await cancelled(host, file, "wait_with_handler", str(file), raises))
            assert noted(ending) == (["handler", "close", "atexit"] if raises else ["handler"])

    run(scenario())


def test_an_idle_model_whose_handler_does_not_end_it_is_closed(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=LONG_S)) as host:
            await do(host, "ignore_sigterm")

    run(scenario())
    assert noted(ending) == ["close", "atexit"]


@pytest.mark.parametrize("script", ["hang_in_c", "hang_on", "hang_beside_thread"])
def test_a_model_that_does_not_end_is_killed_after_the_grace(
    run: Run, ending: Path, tmp_path: Path, script: str
) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=SHORT_S)) as host:
            assert gone(await cancelled(host, tmp_path / "pid", script, str(tmp_path / "pid")))
            assert await do(host, "echo", 1) == 1

    run(scenario())


def test_a_model_that_hangs_in_close_is_killed_after_the_grace(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make("tests.workers.models:HangsInClose", stop_grace_s=SHORT_S)) as host:
            pid = await do(host, "pid")
        assert gone(pid)

    run(scenario())
    assert noted(ending) == ["close"]


@pytest.mark.parametrize("code", ["why", 3])
def test_sys_exit_closes_the_model(run: Run, ending: Path, code: Any) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=LONG_S)) as host:
            with pytest.raises(ModelCrashed):
                await do(host, "leave", code)
            assert noted(ending) == ["close", "atexit"]

    run(scenario())


def test_sigterm_from_elsewhere_closes_the_model_and_replaces_it(run: Run, ending: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=LONG_S)) as host:
            job = asyncio.create_task(do(host, "wait", str(tmp_path / "pid")))
            os.kill(await told(tmp_path / "pid"), signal.SIGTERM)
            with pytest.raises(ModelCrashed, match="exited with code 143"):
                await job
            assert noted(ending) == ["finally", "close", "atexit"]
            assert await do(host, "echo", 1) == 1

    run(scenario())


def test_shared_memory_of_a_killed_model_is_removed(run: Run, ending: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=SHORT_S)) as host:
            file = tmp_path / "pid"
            await cancelled(host, file, "share_memory", str(file))
            name = (tmp_path / "pid.name").read_text()
            assert not (Path("/dev/shm") / name).exists()  # noqa: S108

    run(scenario())


@pytest.mark.parametrize("how", ["crash", "cancel", "stop", "kill", "kill of the guardian"])
def test_what_the_model_started_goes_with_it(run: Run, ending: Path, tmp_path: Path, how: str) -> None:
    """Also a daemon with a session of its own; but not that one if somebody kills the guardian."""

    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=SHORT_S)) as host:
            model = await do(host, "pid")
            guardian = psutil.Process(model).ppid()
            await do(host, "start_daemon", str(tmp_path / "daemon"))
            daemon = await told(tmp_path / "daemon")
            assert psutil.Process(daemon).ppid() == guardian
            if how == "crash":
                with pytest.raises(ModelCrashed):
                    await do(host, "leave_at_once", 3)
            elif how == "cancel":
                await cancelled(host, tmp_path / "pid", "hang", str(tmp_path / "pid"))
            elif how.startswith("kill"):
                job = asyncio.create_task(do(host, "hang", str(tmp_path / "pid")))
                await told(tmp_path / "pid")
                os.kill(model if how == "kill" else guardian, signal.SIGKILL)
                with pytest.raises(ModelCrashed, match="was killed by SIGKILL"):
                    await job
            if how == "kill of the guardian":
                os.kill(daemon, signal.SIGKILL)
            if how != "stop":
                await eventually(lambda: gone(model))
                assert how == "kill of the guardian" or gone(daemon)
        assert gone(model)
        await eventually(lambda: gone(daemon))

    run(scenario())


def test_cancels_of_a_model_with_a_pool_leave_no_process(run: Run, ending: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(CLOSING, stop_grace_s=SHORT_S)) as host:
            await do(host, "pid")
            before = len(children())
            for _ in range(3):
                file = tmp_path / "pid"
                await cancelled(host, file, "hang_with_pool", str(file))
                pool = [int(pid) for pid in (tmp_path / "pid.pool").read_text().split()]
                assert len(pool) > 1
                assert all(map(gone, pool))
            await do(host, "pid")
            assert len(children()) == before

    run(scenario())
