"""Models that misbehave, in a whole worker: what becomes of their jobs, and of the worker's readiness."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import psutil
import pytest

from tests.processes import LoggedProcess
from tests.queues import opened, queue_name
from tests.servers import free_port
from tests.workers.service import PATIENCE_S, WorkerProcess, push, until, until_ended
from workers.settings import WorkerSettings
from workers.stream import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import Server
    from workers.stream import JobView, Stream

pytestmark = pytest.mark.fault

MODELS = "tests.workers.models"


@pytest.fixture
def settings(valkey: Server) -> WorkerSettings:
    """A queue of the test's own."""
    return WorkerSettings(redis_url=valkey.url, queue_name=queue_name(), lease_s=20, grace_s=5)


@pytest.fixture
async def stream(settings: WorkerSettings) -> AsyncIterator[Stream]:
    """An open stream."""
    async with opened(settings) as stream:
        yield stream


async def run(stream: Stream, *script: Any) -> JobView:
    """The record of a job with this script, once it has ended."""
    return await until_ended(stream, await push(stream, "predict", orjson.dumps([script])))


async def readiness(port: int) -> int:
    """The status of the worker's `/readyz`."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as response:
        return response.status


async def test_no_job_gets_the_answer_of_a_fork(stream: Stream, settings: WorkerSettings, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, settings, MODEL=f"{MODELS}:Scripted"):
        for how in ("raises", "returns"):
            for script in ("fork", "fork_and_go_on"):
                views = await asyncio.gather(*(run(stream, script, how, f"answer {n}") for n in range(4)))
                assert [orjson.loads(view.result or b"") for view in views] == [f"answer {n}" for n in range(4)]
                assert {view.attempts for view in views} == {1}


async def test_a_model_that_raises_retry_gets_another_attempt(
    stream: Stream, settings: WorkerSettings, tmp_path: Path
) -> None:
    """After the pause that it names, and as often as there are attempts."""
    options = {"MODEL": f"{MODELS}:Scripted", "MAX_ATTEMPTS": "2"}
    with WorkerProcess(tmp_path, settings, **options) as worker:
        view = await run(stream, "ask_again", 0.2, "busy")
        job = view.id
        assert (view.status, view.attempts) == (Status.FAILED, 2)
        assert view.error == {
            "type": "Retry",
            "message": "the function asked for another attempt: LookupError: busy (attempt 2 of 2)",
        }
        await worker.says(f"{job} attempt 1] Retry: ", "LookupError: busy (attempt 1 of 2), again in 0.2 s")


@pytest.mark.parametrize("script", [["raise_it", "KeyboardInterrupt", "why"], ["close_and_fail", 0, 64]])
async def test_an_error_is_told_whatever_the_model_did_before(
    stream: Stream, settings: WorkerSettings, tmp_path: Path, script: list[Any]
) -> None:
    with WorkerProcess(tmp_path, settings, MODEL=f"{MODELS}:Scripted"):
        view = await run(stream, *script)
        assert (view.status, view.attempts) == (Status.FAILED, 1)
        assert view.error in (
            {"type": "KeyboardInterrupt", "message": "why"},
            {"type": "LookupError", "message": "all is closed"},
        )
        assert (await run(stream, "echo", 1)).result == b"1"


async def test_a_message_of_thirty_megabytes_is_cut_in_record_and_log(
    stream: Stream, settings: WorkerSettings, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path, settings, MODEL=f"{MODELS}:Scripted") as worker:
        view = await run(stream, "raise_it_long", 30_000_000)
        assert view.error == {"type": "ValueError", "message": "x" * 2000}
        await worker.says("failed: ValueError: xxx")
    assert len(worker.text) < 20_000


async def test_a_broken_model_makes_its_worker_unready_and_its_jobs_wait(
    stream: Stream, settings: WorkerSettings, tmp_path: Path
) -> None:
    """Until it works again: meanwhile no job fails, and none has an attempt counted."""
    broken, port = tmp_path / "broken", free_port()
    options = {"MODEL": f"{MODELS}:Sticky", "BROKEN_FILE": str(broken), "MODEL_MAX_FAILURES": "2"}
    with WorkerProcess(tmp_path, settings, PROBE_PORT=str(port), **options) as worker:
        assert (await run(stream, "echo", 1)).result == b"1"
        broken.touch()
        failed = await run(stream, "echo", 2)
        assert (failed.status, (failed.error or {})["type"]) == (Status.FAILED, "RuntimeError")
        jobs = [await push(stream, "predict", orjson.dumps([["echo", n]])) for n in range(3)]
        await worker.says("ERROR", "the model is broken: a new process failed with an input that another had answered")
        async with asyncio.timeout(PATIENCE_S):
            while await readiness(port) != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        counts = await stream.counts()
        assert (counts.outstanding, counts.idle_workers) == (3, 0)

        broken.unlink()

        views = [await until_ended(stream, job) for job in jobs]
        assert [view.result for view in views] == [b"0", b"1", b"2"]
        assert max(view.attempts for view in views) <= 2  # one was at hand when the model was found to be broken
        await until(lambda: _is(readiness(port), 200))


async def _is(status: Any, wanted: int) -> bool:
    return bool(await status == wanted)


PARENT = """
import asyncio, sys
from workers.model_host.host import ModelHost
from workers.model_host.options import ModelOptions

async def main():
    options = ModelOptions("tests.workers.models:Closing", load_timeout_s=20, memory_limit_bytes=0,
                           max_result_bytes=1000, stop_grace_s=60, is_forked=sys.argv[2] == "forked")
    host = ModelHost(options, 1, lambda n: None)
    task = asyncio.create_task(host.run())
    await host.loaded()
    await host.predict(('["start_daemon", "%s"]' % sys.argv[1]).encode())
    print((await host.predict(b'["pid"]')).decode(), flush=True)
    await host.predict(b'["hang_on", "%s.on"]'.replace(b"%s", sys.argv[1].encode()))

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["started", "forked"])
async def test_all_that_a_model_started_dies_with_its_worker(tmp_path: Path, kind: str) -> None:
    """Also with a worker that is killed, and a model that would not end by itself."""
    environment = {**os.environ, "ENDING_FILE": str(tmp_path / "ending")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    daemon_file = tmp_path / "daemon"
    command = [sys.executable, "-c", PARENT, str(daemon_file), kind]
    with LoggedProcess(command, environment, tmp_path / "parent.log") as parent:
        await until(lambda: parent.text.endswith("\n") and daemon_file.exists())
        model, daemon = psutil.Process(int(parent.text)), psutil.Process(int(daemon_file.read_text()))
        processes = psutil.Process(parent.pid).children(recursive=True)
        assert {model, daemon} < set(processes)
        assert psutil.wait_procs(processes, timeout=0)[0] == []

        parent.send(signal.SIGKILL)

        await until(lambda: not any(map(psutil.pid_exists, (process.pid for process in processes))))
