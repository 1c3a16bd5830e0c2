"""`python -m workers` as an operator sees it: loading, probes, signals, bad settings. On real processes."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING

import aiohttp
import orjson
import psutil
import pytest

from tests.servers import free_port
from tests.workers.service import WorkerProcess, push, until, until_ended
from workers.stream import Status

if TYPE_CHECKING:
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

MODELS = "tests.workers.models"
MOODY = "tests.workers.model_host.models:Moody"
SHAPES = "tests.workers.model_host.calls.shapes"


async def get(port: int, path: str) -> tuple[int, str]:
    """Status and text; 0 if nobody answers."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"http://127.0.0.1:{port}{path}") as response,
        ):
            return response.status, await response.text()
    except (aiohttp.ClientError, OSError):
        return 0, ""


async def test_nothing_is_claimed_before_the_model_is_loaded(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    """Ready is what the file, the port and the registration say, all at the same time."""
    ready, load, port = tmp_path / "ready", tmp_path / "load", free_port()
    ready.touch()  # left behind by one that was killed
    job_id = await push(one_stream, "predict", b'[["echo",1]]')
    options = {"MODEL": f"{MODELS}:Waits", "LOAD_FILE": str(load), "READY_FILE": str(ready), "PROBE_PORT": str(port)}
    with WorkerProcess(tmp_path, one_settings, **options) as worker:
        await until(load.with_suffix(".began").exists)
        assert not ready.exists()
        assert (await get(port, "/healthz"))[0] == 200
        assert await get(port, "/readyz") == (503, '{"status": 503, "detail": "starting"}')
        counts = await one_stream.counts()
        assert (counts.waiting, counts.pending, counts.idle_workers) == (1, 0, 0)
        (view,) = await one_stream.workers()
        assert (view.fields["state"], view.fields["ready_since"]) == ("starting", "0")

        load.touch()
        assert (await until_ended(one_stream, job_id)).result == b"1"
        await until(ready.exists)
        assert (await get(port, "/readyz"))[0] == 200
        (view,) = await one_stream.workers()
        assert int(view.fields["ready_since"]) > int(view.fields["starting_since"])
        text = (await get(port, "/metrics"))[1]
        for line in (
            'leadtime_worker_jobs_total{outcome="finished"} 1.0',
            "leadtime_worker_model_load_seconds_count 1.0",
            "leadtime_worker_loaded_models 1.0",
            "leadtime_worker_queue_wait_seconds_count 1.0",
            "leadtime_worker_ready 1.0",
        ):
            assert line in text

        # A model that dies makes the worker one that loads.
        load.unlink()
        crashing = await push(one_stream, "predict", b'[["leave_at_once",3]]')
        await until(lambda: not ready.exists())
        assert (await get(port, "/readyz"))[0] == 503
        assert (await get(port, "/healthz"))[0] == 200
        assert await one_stream.cancel(crashing) == "cancelled"
        load.touch()
        await until(ready.exists)

        # It stops: no longer ready, while the job at hand goes on.
        hanging = await push(one_stream, "predict", orjson.dumps([["hang", str(tmp_path / "pid")]]))
        await until((tmp_path / "pid").exists)
        worker.terminate()
        await until(lambda: not ready.exists())
        assert await get(port, "/readyz") == (503, '{"status": 503, "detail": "stopping"}')
        assert (await get(port, "/healthz"))[0] == 200
        (view,) = await one_stream.workers()
        assert (view.fields["state"], view.fields["job"]) == ("stopping", hanging)
        assert await one_stream.cancel(hanging) == "cancelled"
        assert await worker.code() == 0, worker.text
    assert not ready.exists()


async def test_sigterm_finishes_the_job_at_hand_and_claims_no_more(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path, one_settings, MODEL_PREDICT_S="1.5") as worker:
        first, second = [await push(one_stream, "predict", b'["x"]') for _ in range(2)]
        await worker.says(f"{first} attempt 1] job starts")
        worker.terminate()
        assert await worker.code() == 0, worker.text
    view = await one_stream.view(first)
    assert view is not None
    assert (view.status, view.attempts) == (Status.FINISHED, 1)
    counts = await one_stream.counts()
    assert (counts.waiting, counts.pending, counts.workers) == (1, 0, 0)
    view = await one_stream.view(second)
    assert view is not None
    assert view.attempts == 0


@pytest.mark.parametrize("how", ["the grace time ends", "a second signal"])
async def test_sigterm_hands_the_rest_back(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path, how: str
) -> None:
    """For immediate claim: the lease is an hour here."""
    settings = one_settings.model_copy(update={"lease_s": 3600.0})
    grace_s = "0.5" if how == "the grace time ends" else "600"
    with WorkerProcess(tmp_path, settings, MODEL_PREDICT_S="600", GRACE_S=grace_s) as worker:
        job_id = await push(one_stream, "predict", b'["x"]')
        await worker.says(f"{job_id} attempt 1] job starts")
        model = psutil.Process(worker.pid).children()
        worker.terminate()
        if how == "a second signal":
            await worker.says("stopping on SIGTERM")
            worker.send(signal.SIGTERM)
        assert await worker.code() == 0, worker.text
        assert not any(process.is_running() for process in model)
    counts = await one_stream.counts()
    assert (counts.pending, counts.released, counts.workers) == (1, 1, 0)
    with WorkerProcess(tmp_path, settings):
        view = await until_ended(one_stream, job_id)
    assert (view.status, view.attempts) == (Status.FINISHED, 1)  # the first was not its fault


async def test_sigterm_while_loading(one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path) -> None:
    load = tmp_path / "load"
    with WorkerProcess(tmp_path, one_settings, MODEL=f"{MODELS}:Waits", LOAD_FILE=str(load)) as worker:
        await until(load.with_suffix(".began").exists)
        model = psutil.Process(worker.pid).children()
        worker.terminate()
        assert await worker.code() == 0, worker.text
        assert not any(process.is_running() for process in model)
    assert await one_stream.workers() == []


@pytest.mark.lease_s(1.5)
async def test_a_killed_workers_registration_expires_and_its_job_runs_elsewhere(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path, one_settings, MODEL_PREDICT_S="600") as worker:
        job_id = await push(one_stream, "predict", b'["x"]')
        await worker.says(f"{job_id} attempt 1] job starts")
        assert len(await one_stream.workers()) == 1
        worker.send(signal.SIGKILL)

        async def is_forgotten() -> bool:
            return await one_stream.workers() == []

        await until(is_forgotten)
    with WorkerProcess(tmp_path, one_settings):
        view = await until_ended(one_stream, job_id)
    assert (view.status, view.attempts) == (Status.FINISHED, 2)


async def test_each_of_several_jobs_has_its_own_process(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "meeting"
    folder.mkdir()
    options = {"MODEL": f"{MODELS}:Meets", "MEETING_FOLDER": str(folder), "CONCURRENCY": "2"}
    with WorkerProcess(tmp_path, one_settings, **options):
        ids = [await push(one_stream, "predict", b"[2]") for _ in range(2)]
        views = [await until_ended(one_stream, job_id) for job_id in ids]
    assert {view.status for view in views} == {Status.FINISHED}
    assert len(orjson.loads(views[0].result or b"")["output"]) == 2


@pytest.mark.parametrize("fork", ["0", "1"])
async def test_a_job_whose_process_says_it_is_broken_is_tried_again(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path, fork: str
) -> None:
    options = {"MODEL": MOODY, "HEALTH_FILE": str(tmp_path / "health"), "MAX_ATTEMPTS": "2", "MODEL_FORK": fork}
    with WorkerProcess(tmp_path, one_settings, **options) as worker:
        job_id = await push(one_stream, "predict", b'[["break_down","no device"]]')
        view = await until_ended(one_stream, job_id)
        assert (view.status, view.attempts) == (Status.FAILED, 2)
        assert "the model's process said that it is broken: no device" in str(view.error)

        job_id = await push(one_stream, "predict", b'[["echo",1]]')
        assert (await until_ended(one_stream, job_id)).result == b"1"
        worker.terminate()
        assert await worker.code() == 0, worker.text


async def test_a_model_that_never_loads_ends_the_worker(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    await push(one_stream, "predict", b'["x"]')
    with WorkerProcess(tmp_path, one_settings, MODEL=f"{MODELS}:Unloadable") as worker:
        assert await worker.code() == 3
    last = worker.text.splitlines()[-1]
    assert last.endswith(f"the model {MODELS}:Unloadable could not be loaded: ValueError: no weights here")
    counts = await one_stream.counts()
    assert (counts.waiting, counts.pending, counts.workers) == (1, 0, 0)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("REDIS_URL", "foo", "bad setting REDIS_URL='foo': a server's URL starts with redis://, rediss:// or unix://"),
        ("MODEL", "nope", "bad setting MODEL='nope': string should match pattern"),
        ("MODEL", "nope:X", "the model nope:X could not be loaded: ModuleNotFoundError: No module named 'nope'"),
        ("MODEL", f"{MODELS}:X", f"AttributeError: module '{MODELS}' has no attribute 'X'"),
        ("MODEL", "tests.workers.unimportable:X", "No module named 'a_module_that_is_not_installed' (/"),
        ("MODEL", f"{MODELS}:ImportsLate", f"{MODELS}:ImportsLate could not be loaded: ModuleNotFoundError: No module"),
        ("MODEL", f"{MODELS}:NoPredict", f"{MODELS}:NoPredict has no method predict"),
        ("MODEL", "/no/such/file.py:X", "the model /no/such/file.py:X could not be loaded: there is no file /no/such"),
        (
            "MODEL",
            f"{SHAPES}:TakesStarred",
            f"{SHAPES}:TakesStarred could not be loaded: predict has a parameter *args",
        ),
        ("READY_FILE", "/no/such/folder/ready", "bad setting READY_FILE='/no/such/folder/ready': its folder"),
        ("PROBE_PORT", "TAKEN", "can't listen there: Address already in use"),
        ("REDIS_URL", "STRANGER", "bad setting REDIS_URL: the server refuses its user or password"),
    ],
)
async def test_a_bad_setting_ends_it_with_one_sentence(
    one_settings: WorkerSettings, tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104
        value = {
            "TAKEN": str(taken.getsockname()[1]),
            "STRANGER": one_settings.redis_url.replace("//", "//nobody:hunter2@"),
        }.get(value, value)
        with WorkerProcess(tmp_path, one_settings, **{name: value}) as worker:
            assert await worker.code() == 2, worker.text
    last = worker.text.splitlines()[-1]
    assert sentence in last
    assert "Traceback" not in worker.text
    assert "hunter2" not in worker.text
    assert len([line for line in worker.text.splitlines() if " INFO " not in line]) == 1


async def test_sigint_stops_it_too(one_settings: WorkerSettings, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, one_settings) as worker:
        await worker.says("ready: predict")
        worker.send(signal.SIGINT)
        assert await worker.code() == 0, worker.text
    assert worker.text.splitlines()[-1].endswith("INFO workers: stopped")
    await asyncio.sleep(0)
