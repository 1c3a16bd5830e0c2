"""The access log of a gateway."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import aiohttp
import orjson

from tests.gateway.service import push, serving, status_of
from workers.telemetry.logs import JsonFormatter, LineFormatter

if TYPE_CHECKING:
    import pytest

    from workers.stream import Stream, StreamSettings


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_each_answer_has_a_line_with_its_job_and_never_the_input(
    stream: Stream, settings: StreamSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    async with serving(settings, access_log=True) as base, aiohttp.ClientSession(base) as http:
        job_id = await push(http, "a-secret", **{"X-Request-ID": "request-7"})
        await status_of(http.get(f"/status/{job_id}"))
        await status_of(http.get("/status/x%0Ay"))
        await status_of(http.get("/healthz", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}))

    records = [record for record in caplog.records if record.name == "gateway.access"]
    lines = [LineFormatter().format(record) for record in records]
    about = f"[{settings.queue_name}/{job_id}] "
    assert [line.partition(": ")[2].partition(" in ")[0] for line in lines] == [
        f"{about}POST push: 202", f"{about}GET status: 200", "GET status: 404", "GET healthz: 200"
    ]  # fmt: skip
    assert lines[0].endswith("request request-7")
    assert [orjson.loads(JsonFormatter().format(record)).get("trace") for record in records] == [
        None,
        None,
        None,
        TRACE,
    ]
    assert not any("a-secret" in line or "\n" in line for line in lines)
