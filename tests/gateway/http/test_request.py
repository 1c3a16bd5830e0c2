"""Query parameters that an endpoint does not take, and the id of a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from tests.gateway.service import GatewayProcess, problem, push, status_of

if TYPE_CHECKING:
    import aiohttp

    from workers.stream import Stream, StreamSettings

ENDPOINTS = [
    (
        "POST",
        "/push",
        "at, delay, input, keep, max_attempts, priority, tag, timeout, ttl, wait, webhook, webhook_events",
    ),
    ("GET", "/status/{id}", "wait"),
    ("GET", "/data/{id}", "wait"),
    ("POST", "/cancel/{id}", "none"),
    ("POST", "/retry/{id}", "none"),
    ("GET", "/healthz", "none"),
    ("GET", "/readyz", "none"),
    ("GET", "/metrics", "none"),
    ("GET", "/openapi.json", "none"),
]


@pytest.mark.parametrize(("method", "path", "taken"), ENDPOINTS)
async def test_an_unknown_query_parameter_is_named_and_refused(
    http: aiohttp.ClientSession, gateway: GatewayProcess, stream: Stream, method: str, path: str, taken: str
) -> None:
    where = gateway.base + path.format(id=await push(http))
    for query, shown in [("wiat=1", "'wiat'"), ("Wait=1&b", "'Wait', 'b'"), ("%77iat=1", "'wiat'"), ("=1", "''")]:
        response = await http.request(method, URL(f"{where}?{query}", encoded=True))
        assert await problem(response) == (400, f"unknown query parameter: {shown}; taken here: {taken}")
    many = "&".join(f"{'x' * 1000}{number}=1" for number in range(20))
    status, detail = await problem(await http.request(method, URL(f"{where}?{many}", encoded=True)))
    assert (status, len(detail) < 400) == (400, True)
    assert (await stream.counts()).waiting == 1


@pytest.mark.parametrize("query", ["input=a&input=b", "input=a&input=a", "input=a&wait=0&wait=1", "input=a&%69nput="])
async def test_a_repeated_query_parameter_is_named_and_refused(
    http: aiohttp.ClientSession, gateway: GatewayProcess, stream: Stream, query: str
) -> None:
    name = "'wait'" if "wait" in query else "'input'"

    response = await http.post(URL(f"{gateway.base}/push?{query}", encoded=True))

    assert await problem(response) == (400, f"a query parameter is given more than once: {name}")
    assert (await stream.counts()).waiting == 0


@pytest.mark.parametrize("query", ["input=a&", "&input=a", "input=a&&wait=0"])
async def test_ampersands_without_a_parameter_are_no_parameters(
    http: aiohttp.ClientSession, gateway: GatewayProcess, query: str
) -> None:
    assert await status_of(http.post(URL(f"{gateway.base}/push?{query}", encoded=True))) == 202


@pytest.mark.parametrize("path", ["/healthz", "/status/none", "/nothing-here", "/healthz?wiat=1"])
async def test_a_request_keeps_its_id(http: aiohttp.ClientSession, path: str) -> None:
    for own in ("7f3a", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x" * 128):
        async with http.get(path, headers={"X-Request-ID": own}) as response:
            assert response.headers.getall("X-Request-ID") == [own]


@pytest.mark.parametrize("own", [None, "", "a b", "x" * 129, 'a"b', "a\tb", "größe", "a;b"])
async def test_a_request_without_a_safe_id_gets_one(http: aiohttp.ClientSession, own: str | None) -> None:
    ids = set()
    for _ in range(2):
        async with http.get("/healthz", headers={} if own is None else {"X-Request-ID": own}) as response:
            [made] = response.headers.getall("X-Request-ID")
        assert re.fullmatch("[0-9a-f]{16}", made)
        ids.add(made)
    assert len(ids) == 2


async def test_the_log_says_which_request_pushed_cancelled_or_retried_a_job(
    settings: StreamSettings, stream: Stream, capfd: pytest.CaptureFixture[str]
) -> None:
    async with GatewayProcess(settings) as gateway:
        job_id = await push(gateway.http, "a", **{"X-Request-ID": "request-1"})
        await push(gateway.http, "a")
        assert await status_of(gateway.http.post(f"/cancel/{job_id}", headers={"X-Request-ID": "request-2"})) == 200
    lines = [
        line.split(" INFO ")[1] for line in capfd.readouterr().err.splitlines() if "gateway.jobs.endpoints" in line
    ]
    named = f"gateway.jobs.endpoints: [{settings.queue_name}/{job_id}] request"
    assert lines == [f"{named} request-1: job accepted", f"{named} request-2: job cancelled"]
