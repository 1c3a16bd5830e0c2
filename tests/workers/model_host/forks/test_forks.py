"""Processes that are forked from a template. All on real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.workers.model_host.tools import ONE_LOOP, children, do, eventually, gone, make, running, told
from workers.model_host import slot as slot_module
from workers.model_host.errors import ModelCrashed, ModelLoadFailed
from workers.model_host.forks import template as template_module

if TYPE_CHECKING:
    from tests.workers.model_host.tools import Run
    from workers.model_host.host import ModelHost

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.forks.models"


@pytest.fixture(autouse=True)
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that has a line for each time that the model was loaded."""
    file = tmp_path / "loads"
    monkeypatch.setenv("LOADS_FILE", str(file))
    return file


def forked(model: str = "Weights", size: int = 1) -> ModelHost:
    return make(f"{MODELS}:{model}", size, is_forked=True)


def count(loads: Path) -> int:
    return len(loads.read_text().split())


def template_of(pid: int) -> psutil.Process:
    """The process that a model process was forked from: its guardian is in between."""
    found = psutil.Process(pid).parents()[1]
    assert isinstance(found, psutil.Process)
    return found


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def hanging(host: ModelHost, file: Path) -> tuple[asyncio.Task[None], int]:
    """A job that runs until it is cancelled, and the id of its process."""
    file.unlink(missing_ok=True)
    job = asyncio.create_task(do(host, "hang", str(file)))
    return job, await told(file)


def test_a_model_whose_process_is_killed_is_not_loaded_again(run: Run, loads: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(forked()) as host:
            weights, pid = await do(host, "weights"), await do(host, "pid")
            template = template_of(pid)
            job, _ = await hanging(host, tmp_path / "pid")

            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job

            assert gone(pid)
            assert await do(host, "weights") == weights
            assert template_of(await do(host, "pid")) == template
            assert count(loads) == 1

    run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's choice is Linux's")
def test_the_kernel_kills_models_before_their_guardians(run: Run) -> None:
    async def scenario() -> None:
        async with running(forked()) as host:
            pid = await do(host, "pid")
            guardian, template, its_guardian = [parent.pid for parent in psutil.Process(pid).parents()[:3]]
            assert oom_score(pid) == oom_score(template) == 1000
            assert oom_score(guardian) == oom_score(its_guardian) == oom_score(os.getpid())

    run(scenario())


def test_all_processes_are_forked_from_one(run: Run, loads: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(forked(size=3)) as host:
            await eventually(lambda: host.count == 3)
            jobs = [await hanging(host, tmp_path / str(number)) for number in range(3)]
            assert len({template_of(pid) for _, pid in jobs}) == 1
            assert int(loads.read_text()) == template_of(jobs[0][1]).pid

            os.kill(jobs[0][1], signal.SIGKILL)

            with pytest.raises(ModelCrashed, match="was killed by SIGKILL"):
                await jobs[0][0]
            assert not any(job.done() for job, _ in jobs[1:])
            assert await do(host, "echo", 1) == 1
        for job, _ in jobs[1:]:
            with pytest.raises(ModelCrashed):
                await job

    run(scenario())


@pytest.mark.parametrize("victim", ["template", "its guardian"])
def test_a_template_that_dies_is_loaded_anew_while_jobs_go_on(
    run: Run, loads: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, victim: str
) -> None:
    async def scenario() -> None:
        async with running(forked(size=2)) as host:
            await eventually(lambda: host.count == 2)
            weights = await do(host, "weights")
            job, pid = await hanging(host, tmp_path / "pid")
            template = template_of(pid)

            os.kill(template.pid if victim == "template" else template.ppid(), signal.SIGKILL)

            await eventually(lambda: count(loads) == 2)
            assert await do(host, "weights") == weights  # of the other fork
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)
            assert await do(host, "weights") != weights
            assert not job.done()
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)
        await eventually(lambda: gone(template.pid))
        said = [record.message for record in caplog.records if "loaded anew" in record.message]
        assert said == [
            "the process that is forked was killed by SIGKILL; the model is loaded anew, and jobs in its forks go on"
        ]

    run(scenario())


def test_a_template_that_has_died_ends_with_its_last_fork(run: Run, loads: Path) -> None:
    async def scenario() -> None:
        async with running(forked()) as host:
            pid = await do(host, "pid")
            template = template_of(pid)
            guardian = template.ppid()
            os.kill(template.pid, signal.SIGKILL)
            await eventually(lambda: count(loads) == 2)
            assert not gone(guardian)

            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)

            await eventually(lambda: gone(guardian))
            assert await do(host, "echo", 1) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("Threaded", "has 2 threads (prefetcher)"),
        ("WithEventLoop", "has made an event loop"),
        ("OnDevice", "has initialized CUDA"),
    ],
)
def test_a_model_that_cannot_be_forked_is_loaded_by_each_process(
    run: Run, loads: Path, caplog: pytest.LogCaptureFixture, model: str, why: str
) -> None:
    async def scenario() -> None:
        async with running(forked(model, 2)) as host:
            await eventually(lambda: host.count == 2)
            assert await do(host, "echo", 1) == 1
        assert count(loads) == 3
        said = [record.message for record in caplog.records if "MODEL_FORK" in record.message]
        assert said == [f"MODEL_FORK has no effect: after loading, the model's process {why}"]

    run(scenario())


def test_threads_that_end_before_a_fork_are_no_hindrance(run: Run, loads: Path) -> None:
    async def scenario() -> None:
        async with running(forked("ThreadedUnlessForked", 2)) as host:
            await eventually(lambda: host.count == 2)
            assert await do(host, "echo", 1) == 1
        assert count(loads) == 1

    run(scenario())


def test_an_async_model_has_an_event_loop_in_each_fork(run: Run, loads: Path) -> None:
    async def scenario() -> None:
        async with running(forked("AsyncWeights", 2)) as host:
            await eventually(lambda: host.count == 2)
            for _ in range(3):
                assert await do(host, "echo", 1) == 1
                with pytest.raises(ModelCrashed):
                    await do(host, "leave_at_once", 3)
        assert count(loads) == 1

    run(scenario())


@pytest.mark.parametrize("who", ["template", "guardian"])
def test_a_fork_that_lacks_memory_is_tried_again_while_others_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, who: str
) -> None:
    crowded = tmp_path / "crowded"
    monkeypatch.setenv("CROWDED_FILE", str(crowded))

    async def scenario() -> None:
        async with running(forked("Crowded", 2)) as host:
            await eventually(lambda: host.count == 2)
            crowded.write_text(who)
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)
            await eventually(lambda: caplog.text.count("could not be forked: Cannot allocate memory; trying") > 3)
            assert await do(host, "echo", 1) == 1
            assert host.count == 1

            crowded.unlink()

            await eventually(lambda: host.count == 2)

    run(scenario())


def test_a_template_that_hangs_is_replaced_while_jobs_go_on(
    run: Run, loads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(template_module, "FORK_S", 0.2)

    async def scenario() -> None:
        async with running(forked(size=2)) as host:
            await eventually(lambda: host.count == 2)
            job, pid = await hanging(host, tmp_path / "pid")
            os.kill(template_of(pid).pid, signal.SIGSTOP)
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 3)
            assert await do(host, "echo", 1) == 1
            assert count(loads) == 2
            assert not job.done()
        with pytest.raises(ModelCrashed):
            await job
        assert "the process that is forked did not fork within 0.2 s; the model is loaded anew" in caplog.text

    run(scenario())


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists the model is broken."""
    file = tmp_path / "broken"
    monkeypatch.setenv("BROKEN_FILE", str(file))
    monkeypatch.setattr(slot_module, "BROKEN_S", 0.1)
    return file


def test_a_model_whose_forks_are_broken_from_the_beginning_is_loaded_anew(
    run: Run, loads: Path, broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        broken.touch()
        async with running(forked("BrokenAtFirst")) as host:
            broken.unlink()
            with pytest.raises(ModelCrashed, match="said that it is broken: it was from the beginning"):
                await do(host, "echo", 1)
            assert await do(host, "echo", 1) == 1
            assert count(loads) == 2
        assert "the process that is forked seems to be broken; the model is loaded anew" in caplog.text

    run(scenario())


def test_a_model_that_is_found_to_be_broken_is_loaded_anew(run: Run, loads: Path, broken: Path) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:BrokenAtTimes", is_forked=True, max_failures=1)) as host:
            assert await do(host, "echo", 1) == 1
            broken.touch()
            with pytest.raises(ModelCrashed, match="seems to be broken"):
                await do(host, "echo", 1)
            await eventually(lambda: count(loads) == 2)
            broken.unlink()
            await eventually(lambda: host.count == 1)
            assert await do(host, "echo", 1) == 1

    run(scenario())


def test_a_model_that_does_not_load_is_no_template(run: Run) -> None:
    async def scenario() -> None:
        before = children()
        with pytest.raises(ModelLoadFailed, match="could not be loaded: ValueError: no weights here"):
            await make("tests.workers.models:Unloadable", is_forked=True).run()
        assert children() <= before

    run(scenario())
