"""Failures of a worker's jobs as Sentry gets them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from aiohttp import web
from arq.worker import func
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from tests.serving import serving
from tests.workers.service import WorkerProcess, push, run_burst, until, until_ended
from workers.arq.sentry import start_sentry
from workers.model_host.errors import ModelCrashed, ModelRaised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

MODEL = "tests.workers.telemetry.talkative:Talkative"


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """What a client of Sentry in the process of the test would send."""
    found: list[dict[str, Any]] = []

    class Keep(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            if (event := envelope.get_event()) is not None:
                found.append(dict(event))

    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Keep)
    yield found
    sentry_sdk.get_client().close()
    sentry_sdk.init()


async def test_failures_without_an_exception_of_this_process_have_the_type_of_their_error(
    one_stream: Stream, one_settings: WorkerSettings, events: list[dict[str, Any]]
) -> None:
    async def model(ctx: dict[str, Any], text: str) -> None:
        raise ModelRaised("ValueError", text) if text == "raised" else ModelCrashed(text)

    ids = {text: await push(one_stream, model.__qualname__, b'["%b"]' % text.encode()) for text in ("raised", "died")}
    await run_burst(one_settings, [func(model, name=model.__qualname__, max_tries=1)])
    sentry_sdk.flush()

    found = {event["exception"]["values"][0]["type"]: event for event in events}
    assert len(events) == len(found) == 2
    assert found["ValueError"]["exception"]["values"][0]["value"] == "raised"
    assert found["ModelCrashed"]["exception"]["values"][0]["value"] == "died (attempt 1 of 1)"
    assert (
        found["ModelCrashed"]["tags"].items()
        >= {
            "arq_task_id": ids["died"],
            "arq_task_retry": False,
            "queue": one_settings.queue_name,
            "attempt": 1,
        }.items()
    )
    assert found["ModelCrashed"]["transaction"] == model.__qualname__


@pytest.mark.slow
async def test_a_job_that_fails_in_the_model_reaches_sentry_once_under_its_errors_type(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    events: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        if (event := Envelope.deserialize(await request.read()).get_event()) is not None:
            events.append(dict(event))
        return web.json_response({})

    async with serving(web.post("/api/1/envelope/", take)) as base:
        dsn = f"{base.replace('://', '://key@')}/1"
        with WorkerProcess(tmp_path, one_settings, MODEL=MODEL, SENTRY_DSN=dsn) as worker:
            ids = [await push(one_stream, "predict", text) for text in (b'["good"]', b'["bad"]')]
            for job_id in ids:
                await until_ended(one_stream, job_id)
            await until(lambda: bool(events))
            assert await worker.stopped() == 0

    [event] = events
    [exception] = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("ValueError", "raised")
    assert event["tags"]["arq_task_id"] == ids[1]


def test_a_dsn_without_the_package_is_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry.invalid/1")
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)

    start_sentry()

    assert "the package sentry-sdk is not installed" in caplog.text
