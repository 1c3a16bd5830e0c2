"""Values of jobs in the page: what is typed is what is pushed, and what was returned is what is shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.gateway.page.browser import opened
from tests.gateway.page.test_browser import claimed, end
from tests.gateway.service import GatewayProcess, push
from workers.stream import Stream, Telling

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import StreamSettings

pytestmark = pytest.mark.slow

DIGITS = '{"large":12345678901234567890,"one":1.0,"small":0.1234567890123456789}'
BESIDE = {"id": 5, "status": "mine", "latency": "long", "tag": "red", "_job": {"id": 6}}


async def test_numbers_keep_their_digits(gateway: GatewayProcess, stream: Stream) -> None:
    async with opened(f"{gateway.base}/#/try") as (page, complaints):
        await page.get_by_label("Input as").select_option("json")
        await page.get_by_label("Input", exact=True).get_by_label("Input", exact=True).fill(DIGITS)
        await page.get_by_role("button", name="Run").click()
        job = await claimed(stream)
        assert job.args == f"[{DIGITS}]".encode()
        assert '"large": 12345678901234567890' in (await page.get_by_label("Python", exact=True).text_content() or "")
        await end(stream, job, DIGITS.replace("large", "output").encode())
        await page.get_by_label("Result").get_by_text('"output": 12345678901234567890').wait_for()
        await page.get_by_label("Result").get_by_text('"small": 0.1234567890123456789').wait_for()

        await page.goto(f"{gateway.base}/#/jobs/{job.id}")
        await page.get_by_label("Output", exact=True).get_by_text('"output": 12345678901234567890').first.wait_for()
        assert complaints == []


async def test_members_of_the_model_are_shown_also_if_the_service_has_their_names(
    gateway: GatewayProcess, stream: Stream
) -> None:
    async with opened(f"{gateway.base}/#/try") as (page, complaints):
        await page.get_by_role("button", name="Run").click()
        job = await claimed(stream)
        await end(stream, job, orjson.dumps(BESIDE))
        result = page.get_by_label("Result").get_by_label("Output", exact=True)
        await result.wait_for()
        await page.get_by_label("Result").get_by_text("finished").wait_for()
        assert orjson.loads(await result.text_content() or "") == BESIDE

        await page.goto(f"{gateway.base}/#/jobs/{job.id}")
        output = page.get_by_role("region", name="Output").locator("pre")
        await output.wait_for()
        assert orjson.loads(await output.text_content() or "") == BESIDE
        assert complaints == []


async def test_events_of_a_job_go_on_behind_a_gateway_that_was_away(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings) as gateway:
        job_id = await push(gateway.http)
        job = await claimed(stream)
        await stream.tell("worker-1", [Telling(job.id, 1, 1, [("partial", b'"Once "')])])
        async with opened(f"{gateway.base}/#/jobs/{job_id}") as (page, _):
            partial = page.get_by_label("Output so far")
            await partial.get_by_text("Once").wait_for()
            await asyncio.to_thread(gateway.stop)
            await page.get_by_text("The gateway can't be reached: what is shown is of").wait_for()
            await page.wait_for_timeout(5000)  # it looks for the job each 2 s
            await stream.tell("worker-1", [Telling(job.id, 1, 2, [("partial", b'"upon "')])])
            gateway.start()
            await partial.get_by_text("upon").wait_for()
            await stream.tell("worker-1", [Telling(job.id, 1, 3, [("partial", b'"a time"')])])
            await end(stream, job, b'"done"')
            await page.get_by_role("heading", name=job_id).get_by_text("finished").wait_for()
            await page.get_by_text("The model has written no line").wait_for()  # the events have ended

            assert await partial.text_content() == "Once upon a time"
            assert await page.get_by_text("begin", exact=True).count() == 1


async def test_the_call_to_copy_sends_a_form_as_it_is(settings: StreamSettings, stream: Stream, tmp_path: Path) -> None:
    name, member = "a 'b'; c.png", {"text": "x;type=text/html \"y\" \\ 'z'"}
    (tmp_path / name).write_bytes(b"picture")
    async with GatewayProcess(settings, OBJECT_STORE=f"file:{tmp_path / 'objects'}") as gateway:
        async with opened(f"{gateway.base}/") as (page, complaints):
            call = await page.evaluate(
                """([address, name, options]) => import(new URL('ui/snippets.js', document.baseURI)).then(({ curl }) =>
                   curl(address, { image: new File(['x'], name), options }, false))""",
                [f"{gateway.base}/push", name, member],
            )
            assert complaints == []
        process = await asyncio.create_subprocess_exec("bash", "-c", f"{call} & echo", cwd=tmp_path)
        job = await claimed(stream)
        await end(stream, job, b'"done"')
        await process.wait()

    [value] = orjson.loads(job.args)
    assert (value["options"], value["image"]["name"], value["image"]["size_bytes"]) == (member, name, 7)
