"""The lines that a worker and its model write about a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.service import WorkerProcess, push, until_ended
from workers.settings import WorkerSettings
from workers.stream import JobOptions, NewJob

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import Stream, StreamSettings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MODEL = "tests.workers.telemetry.talkative:Talkative"


@pytest.mark.parametrize("form", ["json", "text"])
async def test_each_line_of_a_worker_and_its_model_names_the_job(
    stream: Stream, settings: StreamSettings, tmp_path: Path, form: str
) -> None:
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name)
    with WorkerProcess(tmp_path, own, MODEL=MODEL, LOG_FORMAT=form) as worker:
        bad = await push(stream, "predict", b'["bad"]')
        options = JobOptions(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
        good = "job-7"
        await stream.push(NewJob(good, b'["good"]', options=options))
        for job_id in (good, bad):
            await until_ended(stream, job_id)
        assert await worker.stopped() == 0

    if form == "text":
        assert f"\n[{settings.queue_name}/{good} attempt 1] printed good\n" in worker.text
        assert f"ERROR workers.worker.attempt: [{settings.queue_name}/{bad} attempt 1] job {bad} failed" in worker.text
        return
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in worker.text.splitlines()]
    of_good = [line for line in lines if line.get("job") == good]
    of_bad = [line for line in lines if line.get("job") == bad]
    assert [(line["logger"], line["message"]) for line in of_good if line["logger"].startswith("model")] == [
        ("model.stdout", "printed good"),
        ("model.stderr", "INFO logged good"),
        ("model.stdout", "of a thread good"),
        ("model.stderr", "done"),
    ]
    assert {(line["queue"], line["attempt"]) for line in of_good + of_bad} == {(settings.queue_name, 1)}
    assert {line.get("trace") for line in of_good} == {TRACE}
    assert {line.get("trace") for line in of_bad} == {None}
    assert any(line["message"].endswith("ValueError: raised") and "\n" in line["message"] for line in of_bad)
    [failed] = [line for line in of_bad if line["logger"] == "workers.worker.attempt"]
    assert (failed["level"], failed["message"]) == ("ERROR", f"job {bad} failed: ValueError: raised")
    assert [line.get("job") for line in lines if line["message"] == "loading"] == [None]
    assert {"ready: predict", "stopped"} <= {line["message"] for line in lines}


def test_a_line_of_a_record_without_a_job_has_no_members_of_one() -> None:
    from workers.telemetry.log_job import about
    from workers.telemetry.logs import JsonFormatter

    record = logging.LogRecord("a", logging.INFO, __file__, 1, "\ud800 %s", ("b",), None)
    plain = orjson.loads(JsonFormatter("q").format(record))
    record.__dict__.update(about("job-7"))
    named = orjson.loads(JsonFormatter("q").format(record))

    assert sorted(plain) == ["level", "logger", "message", "time"]
    assert plain["message"] == "? b"
    assert (named["job"], named["queue"], "attempt" in named) == ("job-7", "q", False)
