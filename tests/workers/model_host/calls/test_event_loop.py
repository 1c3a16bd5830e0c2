"""Models whose `predict` is async: one event loop for the life of their process, and how a call on it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.workers.model_host.calls.notes import noted
from tests.workers.model_host.tools import ONE_LOOP, do, gone, make, running, told
from workers.model_host.errors import ModelCrashed, ModelRaised, ModelTimedOut

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run, TimeLimit

ASYNC = "tests.workers.model_host.calls.async_model:Async"
LONG_S = 30.0
SHORT_S = 0.3

pytestmark = ONE_LOOP


def test_all_calls_run_on_one_loop_that_the_constructor_knows(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC, stop_grace_s=LONG_S)) as host:
            assert await do(host, "same_loop") is True
            assert await do(host, "echo", [1, {"a": "b"}]) == [1, {"a": "b"}]
            await do(host, "keep", "a value")
            assert await do(host, "kept") == "a value"

    run(scenario())
    assert noted(ending) == ["close"]


def test_tasks_that_a_model_leaves_are_cancelled_after_its_close(run: Run, ending: Path) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC, stop_grace_s=LONG_S)) as host:
            await do(host, "leave_task")

    run(scenario())
    assert noted(ending) == ["close", "task"]


def test_an_error_of_an_async_model_leaves_its_process_alive(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=r"^LookupError: no such thing$"):
                await do(host, "fail", "no such thing")
            with pytest.raises(ModelRaised, match=r"^CancelledError: $"):
                await do(host, "raise_cancelled")
            assert await do(host, "pid") == pid

    run(scenario())
    assert "LookupError: no such thing" in capfd.readouterr().err


def test_the_model_process_answers_and_no_fork_of_it(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC)) as host:
            pid = await do(host, "pid")
            assert await do(host, "fork", "of the model") == "of the model"
            assert await do(host, "pid") == pid

    run(scenario())


@pytest.mark.parametrize(("script", "notes"), [("leave", ["close"]), ("leave_in_task", ["finally True", "close"])])
def test_sys_exit_ends_the_process(run: Run, ending: Path, script: str, notes: list[str]) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC, stop_grace_s=LONG_S)) as host:
            with pytest.raises(ModelCrashed, match=r"exited with code 1: why$"):
                await do(host, script, "why")
            assert noted(ending) == notes

    run(scenario())


@pytest.mark.parametrize(
    ("script", "notes"),
    [
        ("wait", ["finally", "close"]),
        ("wait_in_group", ["finally", "task", "close"]),
        ("block", ["finally", "close"]),
        ("block_in_task", ["finally", "close"]),
        ("handle_and_wait", ["handler", "close"]),
    ],
)
@pytest.mark.parametrize(
    "how", ["cancel", *(pytest.param(how, marks=pytest.mark.slow) for how in ("time-out", "SIGTERM from elsewhere"))]
)
def test_a_call_that_is_stopped_is_cleaned_up(
    run: Run, ending: Path, tmp_path: Path, limit: TimeLimit, how: str, script: str, notes: list[str]
) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC, stop_grace_s=LONG_S)) as host:
            await do(host, "echo", 1)
            file = tmp_path / "pid"
            job = asyncio.create_task(do(host, script, str(file), timeout_s=limit.SECONDS))
            pid = await told(file)
            if how == "cancel":
                job.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await job
            elif how == "time-out":
                limit.end()
                with pytest.raises(ModelTimedOut):
                    await job
            elif script != "handle_and_wait":
                os.kill(pid, signal.SIGTERM)
                with pytest.raises(ModelCrashed, match=r"exited with code 143$"):
                    await job
            else:
                os.kill(pid, signal.SIGTERM)
                assert await job == "told to end"
                return
            assert gone(pid)
            assert sorted(noted(ending)) == sorted(notes)
            assert noted(ending)[-1] == "close"
            assert await do(host, "echo", 2) == 2

    run(scenario())


def test_a_call_that_catches_its_cancel_is_killed_after_the_grace(run: Run, ending: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(ASYNC, stop_grace_s=SHORT_S)) as host:
            file = tmp_path / "pid"
            job = asyncio.create_task(do(host, "insist", str(file)))
            pid = await told(file)
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)
            assert noted(ending) == ["caught"]

    run(scenario())


def test_a_model_without_async_code_imports_neither_asyncio_nor_pydantic(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "plain_model.py"
    file.write_text(
        "import sys\nfrom typing import Any\n\n\nclass Model:\n    def predict(self, input: Any) -> Any:\n"
        "        return [name for name in ('asyncio', 'pydantic') if name in sys.modules]\n"
    )

    async def scenario() -> None:
        async with running(make(f"{file}:Model")) as host:
            assert await do(host) == []

    run(scenario())
