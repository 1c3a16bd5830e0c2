"""A process of the service that is process 1, as in a container."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
import psutil
import pytest

from tests.processes import LoggedProcess, module
from tests.workers.service import push, until, until_ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
CANCELS = 5


def may_unshare() -> bool:
    """Whether this user may start a process 1."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def worker(one_settings: WorkerSettings, tmp_path: Path) -> Iterator[LoggedProcess]:
    """`python -m workers` as process 1 of a namespace."""
    environment = {
        **os.environ,
        "REDIS_URL": one_settings.redis_url,
        "QUEUE_NAME": one_settings.queue_name,
        "MODEL": "tests.workers.models:Closing",
        "ENDING_FILE": str(tmp_path / "ending"),
        "MODEL_STOP_S": "1",
    }
    command = [shutil.which("unshare") or "", *UNSHARE[1:], *module("workers")]
    with LoggedProcess(command, environment, tmp_path / "worker.log") as process:
        yield process


def inside(worker: LoggedProcess) -> list[psutil.Process]:
    """Process 1 of the namespace, and all below it."""
    (init,) = psutil.Process(worker.pid).children()
    return [init, *init.children(recursive=True)]


@pytest.mark.skipif(sys.platform != "linux" or not may_unshare(), reason="needs a PID namespace")
async def test_a_worker_that_is_process_1_leaves_no_zombies_and_stops_when_told(
    one_stream: Stream, worker: LoggedProcess, tmp_path: Path
) -> None:
    await worker.says("ready: predict")
    count = len(inside(worker))
    for number in range(CANCELS):
        file = tmp_path / f"pid-{number}"
        job = await push(one_stream, "predict", orjson.dumps([["hang_with_pool", str(file)]]))
        await until(file.exists)
        assert await one_stream.cancel(job) == "cancelled"
        await until_ended(one_stream, job)
    await until(lambda: len(inside(worker)) == count)

    # What nobody waits for comes to process 1, such as what `kubectl exec` has started.
    init = inside(worker)[0]
    orphan = ["nsenter", "--target", str(init.pid), "--pid", "sh", "-c", "sleep 0.2 & exit"]
    assert (await (await asyncio.create_subprocess_exec(*orphan)).wait()) == 0
    await until(lambda: len(inside(worker)) == count)  # a zombie counts

    init.send_signal(signal.SIGTERM)
    assert await worker.code() == 0


@pytest.mark.skipif(sys.platform != "linux" or not may_unshare(), reason="needs a PID namespace")
async def test_a_worker_that_is_process_1_is_told_to_stop_while_it_starts(worker: LoggedProcess) -> None:
    """It forks before its imports, as a signal that comes during them would be lost."""
    await until(lambda: len(psutil.Process(worker.pid).children(recursive=True)) == 2)
    (init, *_) = inside(worker)
    assert not any("uvloop" in mapped.path for mapped in init.memory_maps())

    init.send_signal(signal.SIGTERM)

    assert await worker.code() in (0, 128 + signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux" or not may_unshare(), reason="needs a PID namespace")
@pytest.mark.parametrize("name", ["gateway", "workers", "workers.run", "workers.scaler"])
async def test_what_is_process_1_is_told_to_stop_during_its_imports(name: str, tmp_path: Path) -> None:
    (tmp_path / "pydantic_settings.py").write_text("import time; print('importing', flush=True); time.sleep(600)")
    command = [shutil.which("unshare") or "", *UNSHARE[1:], *module(name)]
    with LoggedProcess(command, {**os.environ, "PYTHONPATH": str(tmp_path)}, tmp_path / "log") as process:
        await process.says("importing")

        (init,) = psutil.Process(process.pid).children()
        init.send_signal(signal.SIGTERM)

        assert await process.code() in (0, 128 + signal.SIGTERM)
