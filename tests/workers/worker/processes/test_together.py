"""`python -m workers` with a model that has `predict_batch`: jobs run in one call, and each as if it were alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workers.service import WorkerProcess, ended, how, pushed, until, until_ended
from workers.stream import Status
from workers.worker.claims import ClaimTerms

if TYPE_CHECKING:
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

MODELS = "tests.workers.model_host.together"
TOGETHER = f"{MODELS}:Together"


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_each_job_gets_the_result_of_its_own_input(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path, concurrency: int
) -> None:
    values = [{"number": number} for number in range(50)]
    early = await pushed(one_stream, *(["echo", value] for value in values[:30]))
    settings = {"MODEL": TOGETHER, "MODEL_MAX_BATCH_SIZE": "7", "CONCURRENCY": str(concurrency)}
    with WorkerProcess(tmp_path, one_settings, **settings) as worker:
        await worker.says("ready: predict")
        late = await pushed(one_stream, *(["echo", value] for value in values[30:]))
        assert [how(view) for view in await ended(one_stream, early + late)] == [(value, 1) for value in values]
        (registered,) = await one_stream.workers()
        assert registered.fields["concurrency"] == str(7 * concurrency)


async def test_a_backlog_is_run_in_full_batches_and_a_single_job_alone(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    job_ids = await pushed(one_stream, *[["count"]] * 60)
    settings = {"MODEL": TOGETHER, "MODEL_MAX_BATCH_SIZE": "20"}
    with WorkerProcess(tmp_path, one_settings, **settings) as worker:
        assert [how(view) for view in await ended(one_stream, job_ids)] == [(20, 1)] * 60
        (job_id,) = await pushed(one_stream, ["count"])
        assert how(await until_ended(one_stream, job_id)) == (1, 1)
        assert "the model runs up to 20 jobs in one call" in worker.text


@pytest.mark.parametrize(
    ("slots", "together", "most"), [(1, 1, 16), (100, 1, 50), (20, 20, 20), (60, 20, 20), (80, 20, 40), (64, 64, 64)]
)
def test_a_claim_is_for_whole_batches(slots: int, together: int, most: int) -> None:
    assert ClaimTerms(slots, {}, together).most_at_once == most


async def test_what_comes_while_a_batch_runs_is_run_in_the_next(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    file, go_on = tmp_path / "pid", tmp_path / "until"
    (first,) = await pushed(one_stream, ["call_waits", str(file), str(go_on)])
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER):
        await until(file.exists)
        others = await pushed(one_stream, *[["count"]] * 8)
        # It has places for three more, but nobody in it could run them before others can.
        counts = await one_stream.counts()
        assert (counts.waiting, counts.pending) == (8, 1)
        go_on.touch()
        assert how(await until_ended(one_stream, first)) == (1, 1)
        assert [how(view) for view in await ended(one_stream, others)] == [(4, 1)] * 8


@pytest.mark.parametrize("poison", ["call_dies", "call_fails"])
async def test_only_the_job_that_is_to_blame_fails(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path, poison: str
) -> None:
    scripts = [
        ["echo", "a"],
        [poison, *["poisoned"] * (poison == "call_fails")],
        ["echo", "c"],
        ["fail", "in its place"],
    ]
    job_ids = await pushed(one_stream, *scripts)
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER, MAX_ATTEMPTS="1") as worker:
        found = [how(view) for view in await ended(one_stream, job_ids)]
        assert found == [
            ("a", 1),
            ("ModelCrashed" if poison == "call_dies" else "LookupError", 1),
            ("c", 1),
            ("LookupError", 1),
        ]
        assert "a batch of 4 jobs failed, and each is run alone" in worker.text


async def test_a_job_that_takes_too_long_costs_the_others_no_attempt(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    job_ids = await pushed(one_stream, ["echo", "a"], ["call_hangs", str(tmp_path / "pid")], ["echo", "c"])
    settings = {"MODEL": TOGETHER, "MAX_ATTEMPTS": "1", "JOB_TIMEOUT_S": "2"}
    with WorkerProcess(tmp_path, one_settings, **settings):
        assert [how(view) for view in await ended(one_stream, job_ids)] == [("a", 1), ("ModelTimedOut", 1), ("c", 1)]


async def test_a_job_that_asks_for_another_attempt_gets_it_alone(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    job_ids = await pushed(one_stream, ["echo", "a"], ["ask_again", 0.01], ["echo", "c"])
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER, MAX_ATTEMPTS="3"):
        assert [how(view) for view in await ended(one_stream, job_ids)] == [("a", 1), ("Retry", 3), ("c", 1)]


async def test_an_input_that_does_not_fit_fails_alone(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    job_ids = await pushed(one_stream, 1, "two", 3)
    with WorkerProcess(tmp_path, one_settings, MODEL=f"{MODELS}:Doubles"):
        assert [how(view) for view in await ended(one_stream, job_ids)] == [(2, 1), ("InvalidInput", 1), (6, 1)]


async def test_a_job_of_a_running_batch_is_cancelled_at_once_and_the_others_go_on(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    file, go_on = tmp_path / "pid", tmp_path / "until"
    job_ids = await pushed(one_stream, *[["call_waits", str(file), str(go_on)]] * 3)
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER) as worker:
        await until(file.exists)
        assert await one_stream.cancel(job_ids[1]) == "cancelled"
        await worker.says(f"{job_ids[1]} attempt 1] job was stopped: cancelled")
        go_on.touch()
        first, cancelled, last = await ended(one_stream, job_ids)
        assert [how(first), how(last)] == [(3, 1), (3, 1)]
        assert (cancelled.status, cancelled.result) == (Status.CANCELLED, None)
        # It is the same process.
        (job_id,) = await pushed(one_stream, ["pid"])
        assert how(await until_ended(one_stream, job_id)) == (int(file.read_text()), 1)


@pytest.mark.lease_s(1)
async def test_the_jobs_of_a_worker_that_is_killed_in_a_batch_run_elsewhere(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    file, go_on = tmp_path / "pid", tmp_path / "until"
    job_ids = await pushed(one_stream, *[["call_waits", str(file), str(go_on)]] * 4)
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER) as worker:
        await until(file.exists)
        worker.kill()
    go_on.touch()
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER):
        for view in await ended(one_stream, job_ids):
            assert (view.status, view.attempts) == (Status.FINISHED, 2)


async def test_a_worker_that_stops_hands_the_jobs_of_its_batch_back(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    job_ids = await pushed(one_stream, *[["call_hangs", str(file)]] * 4)
    with WorkerProcess(tmp_path, one_settings, MODEL=TOGETHER, GRACE_S="0") as worker:
        await until(file.exists)
        worker.terminate()
        assert await worker.code() == 0, worker.text
    counts = await one_stream.counts()
    assert (counts.released, counts.waiting, counts.workers) == (4, 0, 0)
    for job_id in job_ids:
        view = await one_stream.view(job_id)
        assert view is not None
        assert view.attempts == 0
