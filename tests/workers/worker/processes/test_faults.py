"""Models that misbehave, under `python -m workers`: the job is tried again and then fails, others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.workers.service import WorkerProcess, push, until_ended
from workers import dead_letters
from workers.stream import Status

if TYPE_CHECKING:
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

LIMIT_BYTES = 600_000_000


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        (["leave_at_once", 9], "ModelCrashed", "the model's process exited with code 9"),
        (["leave", 3], "ModelCrashed", "the model's process exited with code 3"),
        (["segfault"], "ModelCrashed", "the model's process was killed by SIGSEGV"),
        (["eat"], "ModelCrashed", f"the model's process ran out of memory (limit {LIMIT_BYTES} bytes)"),
        (["spin", 600], "ModelTimedOut", "the model took longer than 2 s, and was stopped"),
        (["hang", "PID"], "ModelTimedOut", "the model took longer than 2 s, and was stopped"),
    ],
    ids=["exits", "sys.exit", "segfaults", "eats", "spins", "hangs"],
)
async def test_a_model_that_misbehaves(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path, script: list[object], error: str, message: str
) -> None:
    script = [str(tmp_path / "pid") if item == "PID" else item for item in script]
    options = {
        "MODEL": "tests.workers.models:Scripted",
        "MAX_ATTEMPTS": "2",
        # A job that ends by itself has all the time that a slow machine needs.
        "JOB_TIMEOUT_S": "2" if error == "ModelTimedOut" else "60",
        "MODEL_MEMORY_LIMIT_BYTES": str(LIMIT_BYTES),
    }
    before = await push(one_stream, "predict", b'[["echo","before"]]')
    bad = await push(one_stream, "predict", orjson.dumps([script]))
    behind = [await push(one_stream, "predict", b'[["echo","behind"]]') for _ in range(3)]
    with WorkerProcess(tmp_path, one_settings, **options) as worker:
        for job_id in (before, *behind):
            view = await until_ended(one_stream, job_id)
            assert (view.status, view.attempts) == (Status.FINISHED, 1)
        view = await until_ended(one_stream, bad)
        assert (view.status, view.attempts) == (Status.FAILED, 2)
        assert view.error == {"type": error, "message": f"{message} (attempt 2 of 2)"}
        assert f"{bad} attempt 1] {error}: {message} (attempt 1 of 2), again in" in worker.text
        worker.terminate()
        assert await worker.code() == 0
    (letter,) = await one_stream.dead_letters()
    assert (letter.id, letter.attempts, letter.error) == (bad, 2, view.error)
    assert orjson.loads(letter.args) == [script]
    counts = await one_stream.counts()
    assert (counts.length, counts.waiting, counts.pending, counts.deferred, counts.dead) == (0, 0, 0, 0, 1)


async def test_an_exception_of_the_model_is_not_tried_again(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    job_id = await push(one_stream, "predict", b'[["fail","no such input"]]')
    with WorkerProcess(tmp_path, one_settings, MODEL="tests.workers.models:Scripted"):
        view = await until_ended(one_stream, job_id)
    assert (view.status, view.attempts) == (Status.FAILED, 1)
    assert view.error == {"type": "LookupError", "message": "no such input"}


async def test_a_poison_job_can_be_requeued(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It kills the model at each attempt, ends in the dead letters, and finishes once the model can bear it."""
    cure = tmp_path / "cure"
    options = {"MODEL": "tests.workers.models:Poisoned", "CURE_FILE": str(cure), "MAX_ATTEMPTS": "2"}
    poison, good = [await push(one_stream, "predict", args) for args in (b'["poison"]', b'["bread"]')]
    with WorkerProcess(tmp_path, one_settings, **options):
        assert (await until_ended(one_stream, good)).status is Status.FINISHED
        assert (await until_ended(one_stream, poison)).status is Status.FAILED
        (letter,) = await one_stream.dead_letters()
        cure.touch()
        arguments = dead_letters.parser().parse_args(["requeue", letter.entry])
        assert await dead_letters.run(arguments, one_settings) == 0
        assert capsys.readouterr().out == "1 jobs requeued\n"
        view = await until_ended(one_stream, poison)
    assert (view.status, view.attempts) == (Status.FINISHED, 1)
    assert view.result is not None
    assert orjson.loads(view.result) == {"output": "ran on poison", "input": "poison"}
    assert await one_stream.dead_letters() == []
