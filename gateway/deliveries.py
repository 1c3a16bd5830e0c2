"""The webhooks that one gateway process sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents.job import pushed_document
from workers.outbound.addresses import AddressRules
from workers.webhooks.queue import DeliveryTerms, deliveries

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

    from gateway.settings import GatewaySettings
    from workers.stream import Stream


class Webhooks:
    """The webhooks of one gateway process: the terms of its deliveries, and their queue, to look at."""

    def __init__(self, settings: GatewaySettings, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self.rules = AddressRules.parse(settings.webhook_allow)
        self.secrets = settings.webhook_secret_list()
        self.queue = deliveries(settings)
        self._terms = DeliveryTerms(self.secrets, self.rules, settings.webhook_timeout_s, settings.webhook_give_up_s)

    async def deliver(self, stream: Stream, on_outcome: Callable[[str], None]) -> None:
        """Delivers what happens to the stream's jobs until it is cancelled."""
        # A gateway without webhooks needs no HTTP client and no worker: 14 MB.
        from workers.webhooks.worker import deliver_webhooks

        await deliver_webhooks(stream, pushed_document, self._terms, on_outcome, self._tracer)

    async def close(self) -> None:
        """Closes the connections."""
        await self.queue.close()
