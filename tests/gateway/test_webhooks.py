"""Webhooks as a client of the gateway meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.gateway.service import GatewayProcess, get, problem, samples, serving, status_of
from tests.workers.service import until
from tests.workers.webhooks.receiver import Receiver
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from workers.stream import StreamSettings

KEYS = {"me": "my-key-0123456789abc", "you": "your-key-0123456789a"}
SECRETS = "the-service-secret-of-today,the-service-secret-of-before"


def auth(name: str) -> dict[str, str]:
    """The headers of a client."""
    return {"Authorization": f"Bearer {KEYS[name]}"}


@pytest.fixture(scope="module")
def process(settings: StreamSettings) -> Iterator[GatewayProcess]:
    """A gateway that sends webhooks to this machine too."""
    more = {"WEBHOOK_SECRETS": SECRETS, "WEBHOOK_ALLOW": "127.0.0.1", "API_KEYS": ",".join(KEYS.values())}
    with GatewayProcess(settings, **more).running() as gateway:
        yield gateway


@pytest.fixture
async def http(process: GatewayProcess, stream: Stream) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of it."""
    async with process.client():
        yield process.http


async def push(http: aiohttp.ClientSession, name: str = "me", **query: str) -> str:
    async with http.post("/push", params={"input": "x", **query}, headers=auth(name)) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def end(stream: Stream, status: Any = "finished", body: bytes = b'{"output":"y"}') -> None:
    [job] = await stream.claim("w", 1)
    assert await stream.finish("w", [Finish(job.id, job.attempt, status, body, 60_000)]) == [True]


async def secrets(http: aiohttp.ClientSession, name: str) -> list[str]:
    async with http.get("/webhooks/secrets", headers=auth(name)) as response:
        assert response.status == 200
        return list((await response.json())["secrets"])


async def test_a_webhook_carries_what_a_push_that_waits_is_answered(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    receiver = Receiver()
    async with receiver.serving() as base:
        job_id = await push(http, webhook=f"{base}/hook")
        await end(stream)
        [got] = await receiver.until(1)
    data = got.message["data"]
    async with http.get(f"/data/{job_id}", headers=auth("me")) as response:
        assert data.items() >= (await response.json()).items()
    assert (got.message["type"], data["id"], data["status"], data["output"]) == (
        "job.finished",
        job_id,
        "finished",
        "y",
    )
    own, others = await secrets(http, "me"), await secrets(http, "you")
    assert len({*own, *others}) == 4
    for secret in own:
        assert Webhook(secret).verify(got.body, got.headers)
    counted = await samples_of(http)
    assert counted["leadtime_webhooks_total['delivered']"] >= 1


async def samples_of(http: aiohttp.ClientSession) -> dict[str, float]:
    async with http.get("/metrics", headers=auth("me")) as response:
        assert response.status == 200
    async with aiohttp.ClientSession(str(response.url.origin()), headers=auth("me")) as own:
        return await samples(own)


async def test_a_webhook_that_was_given_up_is_shown_to_its_owner_and_sent_again(
    http: aiohttp.ClientSession, stream: Stream
) -> None:
    receiver = Receiver(lambda count: web.Response(status=410 if count == 1 else 204))
    async with receiver.serving() as base:
        job_id = await push(http, webhook=f"{base}/hook", webhook_events="failed")
        await end(stream, "failed", b'{"type":"ValueError","message":"no"}')

        async def shown(name: str = "me") -> list[Any]:
            async with http.get("/webhooks/failed", headers=auth(name)) as response:
                assert response.status == 200
                return list((await response.json())["failed"])

        await until(shown)  # type: ignore[arg-type]
        [one] = await shown()
        assert (one["job"], one["event"], one["url"]) == (job_id, "failed", f"{base}/hook")
        assert one["error"]["message"] == "the receiver answered 410"
        assert await shown("you") == []
        path = f"/webhooks/failed/{one['place']}/resend"
        assert await status_of(http.post(path, headers=auth("you"))) == 404
        assert await status_of(http.post(path, headers=auth("me"))) == 202
        first, again = await receiver.until(2)
        assert first.id == again.id == one["id"]
        assert await status_of(http.post(path, headers=auth("me"))) == 404


@pytest.mark.parametrize(
    ("query", "detail", "parameters"),
    [
        ({"webhook": "http://example.com/"}, "https", ["webhook"]),
        ({"webhook": "https://10.0.0.1/"}, "10.0.0.1 is no public address", ["webhook"]),
        ({"webhook": "https://[::ffff:169.254.169.254]/"}, "no public address", ["webhook"]),
        ({"webhook": ""}, "not a URL", ["webhook"]),
        ({"webhook": "https://example.com/" + "x" * 2000}, "at most 2000", ["webhook"]),
        (
            {"webhook": "https://example.com/", "webhook_events": "finished,ended"},
            "comma-separated",
            ["webhook_events"],
        ),
        ({"webhook": "https://example.com/", "webhook_events": ""}, "comma-separated", ["webhook_events"]),
        ({"webhook_events": "finished"}, "goes with webhook", ["webhook_events"]),
    ],
)
async def test_what_can_not_be_told_is_refused(
    http: aiohttp.ClientSession, query: dict[str, str], detail: str, parameters: list[str]
) -> None:
    async with http.post("/push", params={"input": "x", **query}, headers=auth("me")) as response:
        status, why = await problem(response)
        document = await response.json()
    assert status == 400
    assert detail in why
    assert document["parameters"] == parameters


async def test_webhooks_need_a_key_like_jobs(http: aiohttp.ClientSession) -> None:
    for path in ("/webhooks/secrets", "/webhooks/failed"):
        assert await status_of(http.get(path)) == 401
    assert await status_of(http.post("/webhooks/failed/1-1/resend")) == 401
    assert await status_of(http.get("/webhooks/failed", params={"after": "x"}, headers=auth("me"))) == 400
    for place in ("1-1", "x", "9" * 30):
        assert await status_of(http.post(f"/webhooks/failed/{place}/resend", headers=auth("me"))) == 404


async def test_a_gateway_without_secrets_sends_none_and_says_so(gateway: GatewayProcess) -> None:
    async with gateway.http.post("/push", params={"input": "x", "webhook": "https://example.com/"}) as response:
        status, why = await problem(response)
        assert (await response.json())["parameters"] == ["webhook"]
    assert (status, why) == (400, "this gateway sends no webhooks (WEBHOOK_SECRETS)")
    assert await status_of(gateway.http.get("/webhooks/secrets")) == 404
    paths = (await get(gateway.http, "/openapi.json"))["paths"]
    assert not any("webhooks" in path for path in paths)


async def test_the_same_key_with_another_webhook_is_another_push(http: aiohttp.ClientSession, stream: Stream) -> None:
    headers = auth("me") | {"Idempotency-Key": "one"}
    answers = [
        await status_of(http.post("/push", params={"input": "x", "webhook": url}, headers=headers))
        for url in ("https://example.com/a", "https://example.com/a", "https://example.com/b")
    ]
    assert answers == [202, 202, 422]


async def test_webhooks_go_on_beside_requests_in_the_process_of_the_gateway(
    settings: StreamSettings, stream: Stream
) -> None:
    receiver = Receiver()
    more = {"webhook_secrets": SECRETS, "webhook_allow": "127.0.0.1"}
    async with receiver.serving() as hook, serving(settings, **more) as base, aiohttp.ClientSession(base) as client:
        query = {"input": "x", "webhook": f"{hook}/hook", "webhook_events": "cancelled"}
        async with client.post("/push", params=query) as response:
            job_id = (await response.json())["id"]
        assert await status_of(client.post(f"/cancel/{job_id}")) == 200
        [got] = await receiver.until(1)
    assert (got.message["type"], got.message["data"]["id"]) == ("job.cancelled", job_id)
