"""Webhooks that the client verifies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.client import AsyncClient, WebhookRefused, verified_webhook
from tests.gateway.client.answering import answering
from tests.gateway.service import serving
from tests.workers.webhooks.receiver import Receiver

if TYPE_CHECKING:
    from workers.stream import Stream, StreamSettings


async def test_a_delivery_is_genuine_or_refused(stream: Stream, settings: StreamSettings) -> None:
    receiver = Receiver()
    async with (
        serving(settings, webhook_secrets="the-service-secret-of-today", webhook_allow="127.0.0.1") as base,
        receiver.serving() as hook,
        AsyncClient(base) as client,
        answering(stream),
    ):
        job = await client.submit("hello", webhook=f"{hook}/hook", webhook_events=["finished"])
        secrets = await client.webhook_secrets()
        [got] = await receiver.until(1)

    event = verified_webhook(got.body, got.headers, ["whsec_" + "A" * 32, *secrets])
    assert (event.type, event.data["id"], event.data["output"]) == ("job.finished", job.id, "HELLO")
    assert event.id == got.id
    with pytest.raises(WebhookRefused):
        verified_webhook(got.body + b" ", got.headers, secrets)


@pytest.mark.parametrize("signature", ["v1", "v1,@@@", "v1,ü", "v1,AAA", "", "no comma v1,AAAA"])
def test_what_a_stranger_sends_is_refused_whatever_it_is(signature: str) -> None:
    headers = {"webhook-id": "x", "webhook-timestamp": str(int(time.time())), "webhook-signature": signature}
    for body in (b"{}", b"", b"\xff"):
        with pytest.raises(WebhookRefused, match="not genuine"):
            verified_webhook(body, headers, "whsec_" + "A" * 32)
