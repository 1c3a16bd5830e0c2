"""A model that says whether its process is still good: between jobs by `health`, in one by raising Broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.model_host.tools import ONE_LOOP, do, eventually, gone, make, running
from workers.model_host.errors import ModelCrashed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run, TimeLimit
    from workers.model_host.host import ModelHost

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.models"
OFTEN_S = 0.02


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that has a line for each call of `health`: the process's id."""
    file = tmp_path / "health"
    file.touch()
    monkeypatch.setenv("HEALTH_FILE", str(file))
    return file


def moody(model: str = "Moody", health_s: float = OFTEN_S, health_timeout_s: float = 10.0) -> ModelHost:
    return make(f"{MODELS}:{model}", health_s=health_s, health_timeout_s=health_timeout_s)


def replaced(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of processes that are replaced."""
    return [record.message for record in caplog.records if "starting another" in record.message]


@pytest.mark.parametrize("model", ["Moody", "AsyncMoody"])
def test_a_model_that_is_well_is_asked_again_and_again(run: Run, calls: Path, model: str) -> None:
    async def scenario() -> None:
        async with running(moody(model)) as host:
            pid = await do(host, "pid")
            await eventually(lambda: calls.read_text().count(str(pid)) >= 2)
            assert await do(host, "pid") == pid
            await eventually(lambda: calls.read_text().count(str(pid)) >= 4)

    run(scenario())


@pytest.mark.parametrize(
    ("mood", "how"),
    [
        ("unwell", "is not healthy"),
        ("upset", "is not healthy: RuntimeError: CUDA error"),
        ("at a loss", "said that it is broken: nothing works"),
        ("gone", "exited with code 5"),
        ("rapt", "took longer than 4242 s to say whether it is healthy"),
    ],
)
@pytest.mark.usefixtures("is_forked")
def test_a_process_that_is_not_healthy_is_replaced(
    run: Run, caplog: pytest.LogCaptureFixture, limit: TimeLimit, mood: str, how: str
) -> None:
    async def scenario() -> None:
        async with running(moody(health_timeout_s=limit.SECONDS)) as host:
            pid = await do(host, "pid")
            await do(host, "be", mood)

            def is_gone() -> bool:
                if mood == "rapt":
                    limit.end()
                return gone(pid)

            await eventually(is_gone)
            assert await do(host, "pid") != pid
        assert replaced(caplog) == [f"the model's process {how}; starting another"]

    run(scenario())


def test_an_async_health_counts_as_well(run: Run) -> None:
    async def scenario() -> None:
        async with running(moody("AsyncMoody")) as host:
            pid = await do(host, "pid")
            await do(host, "be", "unwell")
            await eventually(lambda: gone(pid))
            assert await do(host, "pid") != pid

    run(scenario())


def test_a_busy_process_is_not_asked(run: Run, calls: Path) -> None:
    async def scenario() -> None:
        async with running(moody(health_s=0.2)) as host:
            before = calls.read_text()
            assert await do(host, "spin", 1.0) == "span"
            assert len(calls.read_text()) - len(before) in (0, len(f"{await do(host, 'pid')}\n"))

    run(scenario())


@pytest.mark.parametrize("health_s", [0, 3600])
def test_a_model_is_not_asked_before_its_time(run: Run, calls: Path, health_s: float) -> None:
    async def scenario() -> None:
        async with running(moody(health_s=health_s)) as host:
            await do(host, "be", "unwell")
            assert await do(host, "spin", 0.1) == "span"
        assert calls.read_text() == ""

    run(scenario())


@pytest.mark.parametrize(("why", "how"), [(["no device"], ": no device"), ([], "")])
@pytest.mark.usefixtures("is_forked")
def test_a_process_that_says_it_is_broken_is_replaced_and_its_job_may_run_elsewhere(
    run: Run, caplog: pytest.LogCaptureFixture, why: list[str], how: str
) -> None:
    async def scenario() -> None:
        async with running(moody()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed, match=f"^the model's process said that it is broken{how}$"):
                await do(host, "break_down", *why)
            assert gone(pid)
            assert await do(host, "pid") != pid
        assert replaced(caplog) == [f"the model's process said that it is broken{how}; starting another"]

    run(scenario())
