"""Whose answer a job gets, whatever its model does: forks, pools, late signals, closed connections."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.workers.model_host.tools import ONE_LOOP, do, eventually, gone, make, running
from workers.model_host.errors import ModelAskedAgain, ModelCrashed, ModelRaised

if TYPE_CHECKING:
    from tests.workers.model_host.tools import Run

pytestmark = ONE_LOOP

FORKS = ["returns", "raises", "exits", "runs out of memory", "forks again"]


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize("script", ["fork", "fork_and_go_on", "fork_behind_python"])
@pytest.mark.parametrize("how", FORKS)
def test_a_fork_of_the_model_answers_no_job(run: Run, script: str, how: str) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            for number in range(3):
                assert await do(host, script, how, f"answer {number}") == f"answer {number}"
                assert await do(host, "echo", f"echo {number}") == f"echo {number}"
            assert await do(host, "spin", 0.1) == "span"
            assert await do(host, "pid") == pid

    run(scenario())


def test_a_pool_in_the_model_works(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            for _ in range(2):
                assert await do(host, "pool", [-1, -2, -3]) == [1, 2, 3]

    run(scenario())


@pytest.mark.parametrize("delay_s", [0.000001, 0.00005, 0.0002, 0.02])
def test_a_handler_that_raises_after_the_answer_harms_no_answer(
    run: Run, delay_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At worst its process is replaced, and the job that was in it is tried again."""
    # Coverage holds a lock of its own in the process, for ever if the handler raises then.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)

    async def scenario() -> None:
        async with running(make()) as host:
            for number in range(5):
                scripts: list[list[Any]] = [["alarm_later", delay_s, f"answer {number}"], ["echo", f"echo {number}"]]
                for script in scripts:
                    # It may come while a job is in the model, or none.
                    with contextlib.suppress(ModelRaised, ModelCrashed):
                        assert await do(host, *script) == script[-1]

    run(scenario())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (["close_and_fail", 2, 2], "all is closed"),
        (["close_and_fail", 0, 2], "all is closed"),
        (["close_streams_and_fail"], "nowhere to write to"),
    ],
)
def test_a_model_that_closes_its_streams_fails_its_job_only(run: Run, script: list[Any], message: str) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=f"^LookupError: {message}$"):
                await do(host, *script)
            assert await do(host, "pid") == pid

    run(scenario())


@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (["close_and_fail", 0, 64], "all is closed"),
        (["close_and_fail", 3, 2000], "all is closed"),
        (["close_and_open_and_fail"], "not to a stranger"),
    ],
)
def test_an_error_after_the_connection_was_closed_is_told_by_the_guardian(
    run: Run, script: list[Any], message: str
) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=f"^LookupError: {message}$"):
                await do(host, *script)
            await eventually(lambda: gone(pid))
            assert await do(host, "close_and_return", "small") == "small"
            with pytest.raises(ModelCrashed, match="exited with code 1"):
                await do(host, "close_and_return", "x" * 100_000)
            assert await do(host, "echo", 1) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("arguments", "type_", "message"),
    [
        (["KeyboardInterrupt", "why"], "KeyboardInterrupt", "why"),
        (["GeneratorExit", "why"], "GeneratorExit", "why"),
        (["CancelledError", "why"], "CancelledError", "why"),
        (["BaseException", "why"], "BaseException", "why"),
        (["Halt", "why"], "Halt", "why"),
        (["Nameless", "why"], "Nameless", "why"),
        (["", "why"], "Exception", "why"),
        (["n" * 5000, "why"], "n" * 2000, "why"),
        (["Unspeakable"], "Unspeakable", "(an error whose message can't be made)"),
        (["Surrogate"], "Surrogate", "?"),
        (["ValueError", "x" * 30_000_000], "ValueError", "x" * 2000),
    ],
)
def test_whatever_predict_raises_fails_the_job_with_its_message(
    run: Run, capfd: pytest.CaptureFixture[str], arguments: list[Any], type_: str, message: str
) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised) as error:
                await do(host, "raise_it", *arguments)
            assert (error.value.type, error.value.message) == (type_, message)
            assert await do(host, "pid") == pid

    run(scenario())
    assert 0 < len(capfd.readouterr().err) < 10_000


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("why", "exited with code 1: why"),
        (3, "exited with code 3"),
        (None, "exited with code 0"),
        ({"a": 1}, "exited with code 1: {'a': 1}"),
        ("x" * 100_000, f"exited with code 1: {'x' * 2000}"),
    ],
)
def test_sys_exit_replaces_the_process_and_keeps_its_message(run: Run, code: Any, how: str) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed) as error:
                await do(host, "leave", code)
            assert str(error.value) == f"the model's process {how}"
            assert gone(pid)

    run(scenario())


@pytest.mark.parametrize(
    ("script", "defer_ms", "reason"),
    [
        (["ask_again", 10], 10_000, ""),
        (["ask_again", 0.25, "busy"], 250, "LookupError: busy"),
        (["ask_again", None], None, ""),
        (["ask_again_without_defer"], None, ""),
    ],
)
def test_a_model_asks_for_another_attempt(run: Run, script: list[Any], defer_ms: int | None, reason: str) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelAskedAgain) as error:
                await do(host, *script)
            assert (error.value.defer_ms, str(error.value)) == (defer_ms, reason)
            assert await do(host, "pid") == pid

    run(scenario())
