"""`python -m workers` with a model that runs several jobs at once in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workers.service import WorkerProcess, ended, how, pushed, until
from workers.stream import Status

if TYPE_CHECKING:
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

SHARER = "tests.workers.model_host.sharing.sharers:Sharer"


async def test_as_many_jobs_as_the_model_says_share_one_process_and_a_cancel_is_of_one(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    job_ids = await pushed(one_stream, *[["meets", 20]] * 20)
    with WorkerProcess(tmp_path, one_settings, MODEL=SHARER) as worker:
        met = [how(view) for view in await ended(one_stream, job_ids)]
        assert [(result[1], attempts) for result, attempts in met] == [(job_id, 1) for job_id in job_ids]
        assert len({result[0] for result, _ in met}) == 1
        (registered,) = await one_stream.workers()
        assert registered.fields["concurrency"] == "20"
        assert "a model process runs up to 20 jobs at once" in worker.text

        files = [tmp_path / name for name in ("a", "b", "c")]
        others = await pushed(one_stream, *(["waits", str(file), str(tmp_path / "until")] for file in files))
        await until(lambda: all(file.exists() for file in files))
        assert await one_stream.cancel(others[1]) == "cancelled"
        await worker.says(f"{others[1]} attempt 1] job was stopped: cancelled")
        (tmp_path / "until").touch()
        first, cancelled, last = await ended(one_stream, others)
        assert [how(first), how(last)] == [(str(tmp_path / "until"), 1)] * 2
        assert cancelled.status is Status.CANCELLED
        assert {int(file.read_text()) for file in files} == {met[0][0][0]}


async def test_a_crash_fails_none_of_the_jobs_in_its_process(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    files = [tmp_path / str(number) for number in range(3)]
    others = await pushed(one_stream, *(["waits", str(file), str(tmp_path / "once")] for file in files))
    with WorkerProcess(tmp_path, one_settings, MODEL=SHARER, MAX_ATTEMPTS="2", MODEL_MAX_CONCURRENCY="4"):
        await until(lambda: all(file.exists() for file in files))
        (poisoned,) = await pushed(one_stream, ["crashes", str(tmp_path / "once")])
        found = [how(view) for view in await ended(one_stream, [poisoned, *others])]
        assert found == [("survived", 2), *[(str(tmp_path / "once"), 2)] * 3]


async def test_a_worker_that_stops_hands_the_jobs_of_its_process_back(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    files = [tmp_path / str(number) for number in range(3)]
    job_ids = await pushed(one_stream, *(["waits", str(file)] for file in files))
    with WorkerProcess(tmp_path, one_settings, MODEL=SHARER, GRACE_S="0") as worker:
        await until(lambda: all(file.exists() for file in files))
        worker.terminate()
        assert await worker.code() == 0, worker.text
    counts = await one_stream.counts()
    assert (counts.released, counts.waiting, counts.workers) == (3, 0, 0)
    for job_id in job_ids:
        view = await one_stream.view(job_id)
        assert view is not None
        assert view.attempts == 0
