"""The page in a browser, on a real gateway and a real server. The test is the worker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.gateway.page.browser import faults_of, opened
from tests.gateway.service import PATIENCE_S, GatewayProcess, push
from tests.workers.stream.actions import command, key
from workers.stream import Finish, NewJob, Stream, Telling

if TYPE_CHECKING:
    from playwright.async_api import Route

    from workers.stream import Claimed, StreamSettings

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SCHEMA = orjson.dumps(
    {
        "accepts": True,
        "input": {
            "type": "object",
            "required": ["text"],
            "properties": {
                "text": {"type": "string", "description": MARKUP},
                "top_k": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
                "is_loud": {"type": "boolean", "default": True},
                "is_quick": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None},
                "language": {"enum": ["de", "en"], "default": "en"},
            },
        },
        "output": {},
        "definitions": {},
    }
)


async def claimed(stream: Stream, worker: str = "worker-1") -> Claimed:
    """The next job, once it has come."""
    async with asyncio.timeout(PATIENCE_S):
        while not (jobs := await stream.claim(worker, 1)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return jobs[0]


def registration(state: str) -> dict[str, str | int]:
    """What a worker registers that has just come to this state."""
    now_ms = int(time.time() * 1000)
    return {"state": state, "starting_since": now_ms, "ready_since": now_ms, "concurrency": 1, "job": ""}


async def end(stream: Stream, job: Claimed, body: bytes, outcome: str = "finished") -> None:
    """Ends a job."""
    finish = Finish(job.id, job.attempt, "finished" if outcome == "finished" else "failed", body, 600_000)
    assert await stream.finish("worker-1", [finish]) == [True]


async def push_to(stream: Stream) -> str:
    """Pushes a job without a gateway; its id."""
    await stream.push(NewJob("job-7-of-the-page", b'["hello"]'))
    return "job-7-of-the-page"


async def test_a_push_from_the_form_streams_its_result(gateway: GatewayProcess, stream: Stream) -> None:
    async with opened(f"{gateway.base}/") as (page, complaints):
        await page.get_by_role("link", name="Try a job").click()
        await page.get_by_role("button", name="Run").click()
        job = await claimed(stream)
        assert job.args == b'["hello"]'
        await stream.tell("worker-1", [Telling(job.id, 1, 1, [("partial", b'"Once "'), ("partial", b'"upon"')])])
        await page.get_by_text("Once upon").wait_for()
        await end(stream, job, b'"a time"')
        await page.get_by_label("Result").get_by_text("a time").wait_for()
        await page.get_by_label("Result").get_by_text("finished").wait_for()
        await page.get_by_role("button", name="Run").click()
        await end(stream, await claimed(stream), b'""')
        await page.get_by_label("Result").get_by_text('""').wait_for()

        await page.get_by_role("link", name="Jobs").click()
        await page.get_by_role("link", name=job.id[:12]).click()
        await page.get_by_label("Output").get_by_text("a time").first.wait_for()
        assert complaints == []


@pytest.mark.slow
async def test_a_job_that_waits_for_long_without_a_scaler_is_not_silent(
    gateway: GatewayProcess, stream: Stream
) -> None:
    """Nobody else would say that KEDA's pods get no place."""
    entry = f"{int(time.time() * 1000) - 600_000}-0"
    await command(stream, "XADD", key(stream, "stream"), entry, "id", "job-7", "function", "predict", "args", "[]")
    async with opened(f"{gateway.base}/") as (page, complaints):
        await page.get_by_text("No worker is there, and a job has waited for 10").wait_for()
        assert complaints == []


@pytest.mark.slow
async def test_workers_are_seen_to_come_and_a_job_to_be_cancelled(gateway: GatewayProcess, stream: Stream) -> None:
    async with opened(f"{gateway.base}/") as (page, complaints):
        await page.get_by_text("none", exact=True).first.wait_for()
        for number in range(3):
            await stream.register(f"worker-{number}", 600, registration("starting"))
        await page.get_by_text("3 starting").wait_for()
        await stream.register("worker-1", 600, registration("idle"))
        job_id = await push(gateway.http)
        await claimed(stream)
        await page.get_by_text("1 busy · 2 starting").wait_for()

        await page.goto(f"{gateway.base}/#/jobs/{job_id}")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("heading", name=job_id).get_by_text("cancelled").wait_for()
        assert await stream.renew("worker-1", [(job_id, 1)]) == [job_id], "the worker is told"
        assert complaints == []


@pytest.mark.slow
async def test_a_form_is_made_of_the_models_schema(gateway: GatewayProcess, stream: Stream) -> None:
    await stream.register("worker-1", 60, {"state": "idle", "schema": "digest-form"})
    await stream.publish_schema("digest-form", SCHEMA)
    async with asyncio.timeout(PATIENCE_S):
        while "PredictInput" not in await (await gateway.http.get("/openapi.json")).text():  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    async with opened(f"{gateway.base}/#/try") as (page, complaints):
        await page.get_by_label("text").fill("größe 'x'")
        await page.get_by_label("top_k").fill("7")
        await page.get_by_label("language").select_option("de")
        await page.get_by_role("button", name="Run").click()
        job = await claimed(stream)
        assert orjson.loads(job.args) == [{"text": "größe 'x'", "top_k": 7, "is_loud": True, "language": "de"}]
        assert "'\\''x'\\''" in (await page.get_by_label("curl", exact=True).text_content() or "")
        assert complaints == []


@pytest.mark.slow
async def test_what_users_write_stays_text(gateway: GatewayProcess, stream: Stream) -> None:
    job_id = await push(gateway.http, MARKUP)
    async with gateway.http.post("/push", params={"input": "a", "tag": MARKUP[:90]}) as response:
        failing = (await response.json())["id"]
    await stream.register(f"worker-1{MARKUP}", 600, registration("idle"))
    await end(stream, await claimed(stream), orjson.dumps({"output": MARKUP, MARKUP: [MARKUP]}))
    error = orjson.dumps({"type": MARKUP, "message": MARKUP})
    await end(stream, await claimed(stream), error, "failed")
    async with opened(f"{gateway.base}/") as (page, complaints):
        await page.get_by_text("1 idle").wait_for()
        for path in (f"jobs/{job_id}", f"jobs/{failing}", "jobs", "jobs?status=dead", f"jobs/{MARKUP}"):
            await page.goto(f"{gateway.base}/#/{path}")
            await page.get_by_text("<img" if "jobs/<" not in path else "job not found").first.wait_for()
            assert "Leadtime" in await page.title()
            assert await page.locator("main script, main img[src=x]").count() == 0
        assert [one for one in complaints if "404" not in one] == []


@pytest.mark.slow
async def test_what_a_change_of_the_network_has_cut_is_asked_again(gateway: GatewayProcess, stream: Stream) -> None:
    finished, failed = await push(gateway.http, "input of job-1"), await push(gateway.http, "input of job-2")
    await end(stream, await claimed(stream), b'"output of job-1"')
    await end(stream, await claimed(stream), b'{"type":"LookupError","message":"no such thing"}', "failed")
    cut: list[str] = []

    async def cut_once(route: Route) -> None:
        if route.request.url in cut:
            await route.continue_()
        else:
            cut.append(route.request.url)
            await route.abort("connectionfailed")

    async with opened(f"{gateway.base}/") as (page, _):
        for path, name, text in (
            ("jobs?status=dead", "dead-letters", "LookupError"),
            (f"jobs/{finished}", f"data/{finished}", "output of job-1"),
            (f"jobs/{failed}", f"inputs/{failed}", "input of job-2"),
        ):
            await page.route(f"**/{name}", cut_once)
            await page.goto(f"{gateway.base}/#/{path}")
            await page.get_by_text(text).first.wait_for()
    assert len(cut) == 3


@pytest.mark.slow
async def test_a_jobs_own_lines_come_as_it_runs_and_stay_text(gateway: GatewayProcess, stream: Stream) -> None:
    job_id = await push(gateway.http)
    job = await claimed(stream)
    async with opened(f"{gateway.base}/#/jobs/{job_id}") as (page, complaints):
        log = page.get_by_label("Log", exact=True)
        await log.get_by_text("No lines yet.").wait_for()
        await stream.tell("worker-1", [Telling(job.id, 1, 1, [("log", b'"step 1"'), ("log", orjson.dumps(MARKUP))])])
        await log.get_by_text("step 1").wait_for()
        await log.get_by_text("<img").wait_for()
        await page.get_by_label("Events", exact=True).get_by_text("begin").first.wait_for()
        assert await page.get_by_label("Events", exact=True).get_by_text("step 1").count() == 0
        await stream.tell("worker-1", [Telling(job.id, 1, 3, [("log", b'"step 2\\n  of 2"')])])
        await log.get_by_text("of 2").wait_for()
        await end(stream, job, b'"done"')
        await page.get_by_role("heading", name=job_id).get_by_text("finished").wait_for()
        async with page.expect_download() as saving:
            await log.get_by_role("button", name="Save as a file").click()
        saved = Path(await (await saving.value).path()).read_text(encoding="utf-8")
        assert saved.splitlines() == ["step 1", MARKUP, "step 2", "  of 2"]
        assert await page.locator("main script, main img[src=x]").count() == 0
        assert "owned" not in await page.title()
        assert complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_no_serious_fault(gateway: GatewayProcess, stream: Stream, theme: str) -> None:
    for state in ("idle", "starting", "stopping"):
        await stream.register(f"worker-{state}", 600, registration(state))
    ids = [await push(gateway.http, f"input {number}") for number in range(3)]
    await end(stream, await claimed(stream), b'{"output":"one"}')
    await end(stream, await claimed(stream), b'{"type":"OutOfLuck","message":"no"}', "failed")
    views = ["now", "time", "jobs", "jobs?status=dead", "try", "api", *(f"jobs/{job_id}" for job_id in ids)]
    async with opened(f"{gateway.base}/", 1280, theme) as (page, _):
        for view in views:
            await page.goto(f"{gateway.base}/#/{view}")
            await page.wait_for_timeout(700)
            assert await faults_of(page) == [], view


@pytest.mark.slow
async def test_the_page_says_that_the_gateway_is_away_and_goes_on_when_it_is_back(
    settings: StreamSettings, stream: Stream
) -> None:
    job_id = await push_to(stream)
    gateway = GatewayProcess(settings)
    async with gateway, opened(f"{gateway.base}/") as (page, _):
        await page.get_by_text("live", exact=True).wait_for()
        await page.goto(f"{gateway.base}/#/jobs")
        await page.get_by_role("link", name=job_id[:12]).wait_for()
        await asyncio.to_thread(gateway.stop)
        await page.get_by_text("The gateway can't be reached: what is shown is of").wait_for()
        await page.evaluate("location.hash = '#/api'")
        await page.get_by_text("The gateway can't be reached.", exact=True).wait_for()
        gateway.start()
        await page.get_by_text("/status/{id}").first.wait_for()
        await page.locator("#notice").wait_for(state="hidden")
    await stream.cancel(job_id)


@pytest.mark.slow
async def test_a_key_is_asked_for_and_kept_in_the_tab(settings: StreamSettings, stream: Stream) -> None:
    key = "key-0123456789abcdef"
    async with GatewayProcess(settings, API_KEYS=key) as gateway, opened(f"{gateway.base}/#/jobs") as (page, _):
        job_id = await push(gateway.http, Authorization=f"Bearer {key}")
        await page.get_by_label("Key", exact=True).fill("not this one")
        await page.get_by_role("button", name="Use it").click()
        await page.get_by_role("alert").get_by_text("This key can't be used").wait_for()
        await page.get_by_label("Key", exact=True).fill(key)
        await page.get_by_role("button", name="Use it").click()
        await page.get_by_role("link", name=job_id[:12]).wait_for()
        await page.get_by_text("live", exact=True).wait_for()
        assert await page.evaluate("[sessionStorage['leadtime-key'], localStorage['leadtime-key']]") == [key, None]
    await stream.cancel(job_id)


@pytest.mark.slow
async def test_ten_thousand_jobs_and_200_workers_make_no_view_large(gateway: GatewayProcess, stream: Stream) -> None:
    async with gateway.http.post("/batches", json=[*range(10_000)]) as response:
        assert response.status == 202
    for number in range(200):
        await stream.register(f"worker-{number:03}", 600, registration("idle"))
        await stream.claim(f"worker-{number:03}", 1)
    async with opened(f"{gateway.base}/") as (page, complaints):
        await page.get_by_text("200 busy").wait_for()
        # The time that a view takes to draw goes with its elements: some 1,100 here.
        for view, shown in (("now", "200 busy"), ("jobs", "9799 ahead"), ("time", "wanted by the scaler")):
            await page.goto(f"{gateway.base}/#/{view}")
            await page.get_by_text(shown).first.wait_for()
            assert await page.evaluate("document.querySelectorAll('*').length") < 2000
        assert complaints == []
