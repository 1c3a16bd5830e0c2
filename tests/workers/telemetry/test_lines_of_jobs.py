"""The lines that a worker and its model write about a job."""

from __future__ import annotations

import logging
import re
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
        for job_id, name in ((good, "good"), (bad, "bad")):
            about = f"\n[{settings.queue_name}/{job_id} attempt 1] "
            for line in (f"two lines{about}of {name}", f"half of {name}"):
                assert f"{about}{line}\n" in worker.text
        assert f"{about}ValueError: raised\n" in worker.text
        assert f"ERROR workers.worker.attempt: [{settings.queue_name}/{bad} attempt 1] job failed" in worker.text
        return
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in worker.text.splitlines()]
    of_good = [line for line in lines if line.get("job") == good]
    of_bad = [line for line in lines if line.get("job") == bad]
    assert [(line["logger"], line["message"]) for line in of_good if line["logger"].startswith("model")] == [
        ("model.stdout", "printed good"),
        ("model.stdout", "two lines\nof good"),
        ("model.stderr", "INFO logged good"),
        ("model.stdout", "of a thread good"),
        ("model.stderr", "done"),
        ("model.stdout", "half of good"),
    ]
    assert [line["message"] for line in of_bad if line["message"].startswith("half")] == ["half of bad"]
    assert {(line["queue"], line["attempt"]) for line in of_good + of_bad} == {(settings.queue_name, 1)}
    assert {line.get("trace") for line in of_good} == {TRACE}
    assert {line.get("trace") for line in of_bad} == {None}
    assert any(line["message"].endswith("ValueError: raised") and "\n" in line["message"] for line in of_bad)
    [failed] = [line for line in of_bad if line["logger"] == "workers.worker.attempt"]
    assert (failed["level"], failed["message"]) == ("ERROR", f"job {bad} failed: ValueError: raised")
    assert [line.get("job") for line in lines if line["message"] == "loading"] == [None]
    assert {"ready: predict", "stopped"} <= {line["message"] for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "text"])
async def test_what_a_batch_prints_is_of_all_its_jobs(
    one_stream: Stream, one_settings: StreamSettings, tmp_path: Path, form: str
) -> None:
    ids = [await push(one_stream, "predict", b'["a"]') for _ in range(3)]
    own = WorkerSettings(redis_url=one_settings.redis_url, queue_name=one_settings.queue_name)
    with WorkerProcess(tmp_path, own, MODEL=f"{MODEL}Together", LOG_FORMAT=form) as worker:
        for job_id in ids:
            await until_ended(one_stream, job_id)
        assert await worker.stopped() == 0

    if form == "text":
        [printed] = re.findall(r"\n\[(.*)/(.*)\] printed 3\n", worker.text)
        assert (printed[0], sorted(printed[1].split())) == (own.queue_name, sorted(ids))
        return
    [line] = [line for line in map(orjson.loads, worker.text.splitlines()) if line["message"] == "printed 3"]
    assert sorted(one["job"] for one in line["jobs"]) == sorted(ids)
    assert (line["queue"], {one["attempt"] for one in line["jobs"]}) == (own.queue_name, {1})


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
