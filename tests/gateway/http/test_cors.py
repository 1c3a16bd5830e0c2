"""CORS_ORIGINS: what a browser needs to hand an answer to a script of another origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.http.cors import refusal_headers
from gateway.settings import GatewaySettings
from tests.gateway.http.connection.wire import answers_in
from tests.gateway.service import GatewayProcess, problem, raw, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    import aiohttp

    from workers.stream import Stream, StreamSettings

KEY = "key-0123456789abcdef"
APP = "https://app.example"
OTHER = "http://localhost:3000"
STRANGER = "https://app.example.evil.example"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def cors(settings: StreamSettings) -> Iterator[GatewayProcess]:
    """The process behind `locked`."""
    gateway = GatewayProcess(
        settings,
        API_KEYS=KEY,
        ROOT_PATH="/leadtime",
        CORS_ORIGINS=f"{APP}, {OTHER.upper()}",
        MAX_INPUT_BYTES="1000",
        MAX_WAITERS="0",
        HEAD_TIMEOUT_S="2",
    )
    with gateway.running():
        yield gateway


@pytest.fixture
async def locked(cors: GatewayProcess, stream: Stream) -> AsyncIterator[GatewayProcess]:
    """A gateway with an API key, behind a sub-path, for scripts of two origins."""
    async with cors.client():
        yield cors


async def answer_to(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """An answer that is read to its end."""
    async with request as response:
        await response.read()
    return response


def allowed(response: aiohttp.ClientResponse) -> str | None:
    """The origin whose scripts may read an answer."""
    if "Access-Control-Allow-Origin" in response.headers:
        assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]
    return response.headers.get("Access-Control-Allow-Origin")


async def test_without_origins_no_answer_has_cors_headers(http: aiohttp.ClientSession) -> None:
    for response in (
        await answer_to(http.get("/healthz", headers={"Origin": APP})),
        await answer_to(http.options("/push", headers={"Origin": APP, **ASKED})),
    ):
        assert not [name for name in response.headers if name.startswith("Access-Control-") or name == "Vary"]
    assert response.status == 405


@pytest.mark.parametrize("path", ["/push", "/leadtime/push", "/leadtime/status/job-7"])
async def test_a_preflight_needs_no_key(locked: GatewayProcess, path: str) -> None:
    method = "GET" if "status" in path else "POST"
    headers = "authorization, content-type, idempotency-key, last-event-id, prefer, traceparent, x-request-id"
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    response = await answer_to(locked.http.options(path, headers={"Origin": APP, **asked}))
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
    named = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(headers.split(", ")) <= set(named)
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert "X-Request-ID" in response.headers


async def test_a_preflight_for_what_is_not_allowed_says_what_it_is(locked: GatewayProcess) -> None:
    for asked, what in (
        ({"Origin": STRANGER, **ASKED}, "origin"),
        ({"Origin": APP, **ASKED, "Access-Control-Request-Method": "PATCH"}, "method"),
        ({"Origin": APP, **ASKED, "Access-Control-Request-Headers": "cookie"}, "headers"),
    ):
        response = await answer_to(locked.http.options("/push", headers=asked))
        expected = f"this gateway allows no such request of another origin: {what}"
        assert await problem(response) == (400, expected)
        assert response.headers.get("Access-Control-Allow-Origin") == (None if asked["Origin"] == STRANGER else APP)
        assert "Origin" in response.headers["Vary"]
    response = await answer_to(locked.http.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}))
    assert 'leadtime_http_requests_total{endpoint="none",method="other",status="400"} 3.0' in await response.text()


async def test_scripts_read_answers_and_errors(locked: GatewayProcess) -> None:
    http, key = locked.http, {"Authorization": f"Bearer {KEY}"}
    for origin in (APP, OTHER, STRANGER):
        scripts = {"Origin": origin}
        mine = {**scripts, **key}
        for expected, request in {
            202: http.post("/leadtime/push?input=hello", headers=mine),
            400: http.post("/push?unknown=1", headers=mine),
            401: http.post("/push?input=hello", headers=scripts),
            404: http.get("/leadtime/nowhere", headers=mine),
            405: http.get("/push", headers=mine),
            413: http.post("/push", data=b'"' + b"x" * 1000 + b'"', headers=mine),
            415: http.post("/push", data=b"hello", headers=mine),
            503: http.post("/push?input=hello&wait=1", headers=mine),
        }.items():
            response = await answer_to(request)
            assert response.status == expected
            assert allowed(response) == (None if origin == STRANGER else origin)
            assert "Origin" in response.headers["Vary"]


async def test_scripts_read_what_the_protocol_refuses(locked: GatewayProcess) -> None:
    head = f"POST /push HTTP/1.1\r\nHost: x\r\nOrigin: {OTHER}\r\nAuthorization: Bearer {KEY}\r\n".encode()
    for status, data in (
        (431, head + b"X: " + b"x" * 100_000),
        (408, head),
        (400, head + b"Content-Length: nonsense\r\n\r\n"),
        (400, head + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
    ):
        [answer] = answers_in(await raw(locked.port, data))
        assert answer.status == status
        assert answer.headers[b"access-control-allow-origin"] == OTHER.encode()
        assert b"Retry-After" in answer.headers[b"access-control-expose-headers"]
    [answer] = answers_in(await raw(locked.port, b"nonsense\r\n\r\n"))
    assert not [name for name in answer.headers if name.startswith(b"access-control-")]


async def test_a_refusal_below_the_endpoints_names_no_origin_but_an_allowed_one() -> None:
    from_app = [(b"host", b"x"), (b"origin", APP.encode())]
    assert refusal_headers([APP], [])["Access-Control-Allow-Origin"] == APP
    assert refusal_headers(["*"], from_app)["Access-Control-Allow-Origin"] == "*"
    assert refusal_headers([OTHER, APP], from_app)["Access-Control-Allow-Origin"] == APP
    assert refusal_headers([OTHER, STRANGER], from_app) == {}
    assert refusal_headers([], from_app) == {}


async def test_all_origins(settings: StreamSettings, stream: Stream) -> None:
    async with GatewayProcess(settings, CORS_ORIGINS="*") as gateway:
        for origin in (APP, "null"):
            response = await answer_to(gateway.http.options("/push", headers={"Origin": origin, **ASKED}))
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert allowed(await answer_to(gateway.http.post("/push?input=x", headers={"Origin": origin}))) == "*"
            [answer] = answers_in(await raw(gateway.port, b"nonsense\r\n\r\n"))
            assert answer.headers[b"access-control-allow-origin"] == b"*"
        assert (await samples(gateway.http))["leadtime_pushes_total['accepted']"] == 2


def test_origins_are_those_that_browsers_send() -> None:
    given = "https://App.Example:443, http://app.example:80 ,http://app.example:443,https://[::1]:8443,capacitor://localhost"
    assert GatewaySettings(cors_origins=given).cors_origin_list() == [
        "https://app.example",
        "http://app.example",
        "http://app.example:443",
        "https://[::1]:8443",
        "capacitor://localhost",
    ]
