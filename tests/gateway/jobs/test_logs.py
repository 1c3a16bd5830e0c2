"""The log lines of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.service import get, problem, push
from workers.stream.events import Telling

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import Stream


async def test_a_jobs_log_lines_are_read_in_pages_and_nothing_else_is(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    job_id = await push(http)
    path = f"/jobs/{job_id}/logs"
    before = await get(http, path)
    [job] = await stream.claim("w", 1)
    told = [("log", b'"one"'), ("partial", b'"x"'), ("log", b'"<b>two</b>"')]
    await stream.tell("w", [Telling(job.id, job.attempt, 1, told)])
    first = await get(http, path)
    await stream.tell("w", [Telling(job.id, job.attempt, 4, [("log", b'"three"')])])
    second = await get(http, f"{path}?after={first['next']}")

    assert before == {"id": job_id, "lines": [], "next": None}
    assert [line["text"] for line in first["lines"]] == ["one", "<b>two</b>"]
    assert [line["text"] for line in second["lines"]] == ["three"]
    assert await get(http, f"{path}?after={second['next']}") == {"id": job_id, "lines": [], "next": second["next"]}


async def test_what_is_no_place_or_no_job_is_refused(http: aiohttp.ClientSession) -> None:
    job_id = await push(http)
    async with http.get(f"/jobs/{job_id}/logs?after=x") as response:
        bad_place = await problem(response)
    async with http.get("/jobs/nothing/logs") as response:
        missing = await problem(response)

    assert bad_place == (400, "after must be what the page before has in its member next")
    assert missing == (404, "job not found")
