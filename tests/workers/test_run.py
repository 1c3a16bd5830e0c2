"""`python -m workers.run`: arq's command line, with this project's worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import sentry_sdk
from arq import cron
from sentry_sdk.transport import Transport

from tests.processes import LoggedProcess, module
from tests.workers.arq.tasks import OwnHealthKey, TaskSettings, double
from tests.workers.service import PATIENCE_S, push, until_ended
from workers.arq.client import connect_client
from workers.run import check_health, create_worker
from workers.settings import StreamSettings
from workers.settings import WorkerSettings as Settings
from workers.stream import Status

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from sentry_sdk.envelope import Envelope

    from tests.servers import Server
    from workers.stream import Stream

TASKS = "tests.workers.arq.tasks.TaskSettings"


class Command(LoggedProcess):
    """`python -m workers.run` with these arguments."""

    def __init__(self, folder: Path, server: Server, *arguments: str) -> None:
        environment = {**os.environ, "REDIS_URL": server.url, "LEASE_S": "2"}
        super().__init__([*module("workers.run"), TASKS, *arguments], environment, folder / f"run{len(arguments)}.log")


async def test_the_command_runs_and_checks_the_worker_of_a_class_of_settings(valkey: Server, tmp_path: Path) -> None:
    settings = StreamSettings(redis_url=valkey.url, queue_name="arq:queue")
    async with connect_client(settings) as client:
        job = await client.enqueue_job("double", 21)
        assert job is not None
        assert await Command(tmp_path, valkey, "--burst").code() == 0
        assert await job.result(timeout=0) == 42

        with Command(tmp_path, valkey) as worker:
            await worker.says("ready: double")
            check = Command(tmp_path, valkey, "--check", "-v")
            assert await check.code() == 0
            assert "Health check successful" in check.text
            assert await worker.stopped() == 0
    check = Command(tmp_path, valkey, "--check", "-v", "--no-burst")
    assert await check.code() == 1
    assert "Health check failed: no health check sentinel value found" in check.text


async def test_a_task_that_a_function_has_left_does_not_end_the_worker(valkey: Server, tmp_path: Path) -> None:
    command = [*module("workers.run"), "tests.workers.arq.tasks.Leaving"]
    async with connect_client(StreamSettings(redis_url=valkey.url, queue_name="arq:queue")) as client:
        with LoggedProcess(command, {**os.environ, "REDIS_URL": valkey.url}, tmp_path / "run.log") as worker:
            assert await client.enqueue_job("leave_an_exit") is not None
            await worker.says("a task that a function has left called sys.exit")
            job = await client.enqueue_job("double", 21)
            assert job is not None
            assert await job.result(timeout=PATIENCE_S) == 42
            assert await worker.stopped() == 0


async def test_a_bad_setting_argument_or_server_is_one_sentence(valkey: Server, tmp_path: Path) -> None:
    for what, says, environment in (
        ("TaskSettings", "bad setting LEASE_S", {"LEASE_S": "no number"}),
        (
            "TaskSettings",
            "bad setting REDIS_URL: the server refuses",
            {"REDIS_URL": valkey.url.replace("//", "//a:b@")},
        ),
        ("Refused", "job_serializer is not supported: arguments and results are JSON", {}),
        ("Missing", "tests.workers.arq.tasks.Missing can't be imported: ", {}),
        ("missing.Settings", "tests.workers.arq.tasks.missing.Settings can't be imported: ", {}),
    ):
        command = [*module("workers.run"), f"tests.workers.arq.tasks.{what}"]
        run = LoggedProcess(command, {**os.environ, "REDIS_URL": valkey.url, **environment}, tmp_path / what)
        assert await run.code() == 2
        assert says in run.text.splitlines()[-1]


async def test_a_class_of_settings_may_have_whatever_the_worker_takes(valkey: Server) -> None:
    worker = create_worker(TaskSettings, settings=Settings(redis_url=valkey.url), burst=True, handle_signals=False)
    assert (worker.queue_name, worker.max_jobs, worker.burst) == ("arq:queue", 3, True)
    assert list(worker.functions) == ["double"]
    await worker.close()
    crons = [cron(double, name="nightly", hour=3)]
    own = create_worker({"cron_jobs": crons, "settings": Settings(queue_name="mine")}, handle_signals=False)
    assert (own.stream.prefix, list(own.functions)) == ("{mine}", ["nightly"])
    await own.close()


def test_a_health_check_key_of_the_users_own_is_looked_at(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", valkey.url)
    assert check_health(OwnHealthKey) == 1


async def test_a_failure_reaches_sentrys_integration_for_arq_once_with_its_job(
    one_stream: Stream, one_settings: Settings
) -> None:
    events: list[dict[str, Any]] = []

    class Collect(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            if (event := envelope.get_event()) is not None:
                events.append(dict(event))

    async def fail(ctx: dict[str, Any], text: str) -> None:
        raise LookupError(text)

    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Collect)
    try:
        ids = {text: await push(one_stream, fail.__qualname__, b'["%b"]' % text.encode()) for text in ("one", "two")}
        worker = create_worker({"functions": [fail]}, settings=one_settings, burst=True, handle_signals=False)
        await worker.async_run()
        await worker.close()
    finally:
        sentry_sdk.flush()
        sentry_sdk.get_client().close()
        sentry_sdk.init()
    assert (await until_ended(one_stream, ids["one"])).status is Status.FAILED
    found = {event["exception"]["values"][-1]["value"]: event for event in events}
    assert len(events) == len(found) == 2
    for text, job_id in ids.items():
        exception = found[text]["exception"]["values"][-1]
        assert (exception["type"], exception["mechanism"]["type"]) == ("LookupError", "arq")
        assert found[text]["tags"]["arq_task_id"] == job_id
        assert found[text]["extra"]["arq-job"]["task"] == fail.__qualname__
