"""The webhooks that one gateway process sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents.job import pushed_document
from workers.outbound.addresses import AddressRules
from workers.webhooks.queue import DeliveryTerms, deliveries
from workers.webhooks.signature import secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.trace import Tracer

    from gateway.http.api_keys import ApiKeys
    from gateway.settings import GatewaySettings
    from workers.stream import Stream


class Webhooks:
    """The webhooks of one gateway process: the terms of its deliveries, and their queue, to look at."""

    def __init__(self, settings: GatewaySettings, api_keys: ApiKeys, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self.rules = AddressRules.parse(settings.webhook_allow)
        self.queue = deliveries(settings)
        self._service_secrets = settings.webhook_secret_list()
        self._api_keys = api_keys
        self._terms = DeliveryTerms(
            self.secrets_of, self.rules, settings.webhook_timeout_s, settings.webhook_give_up_s, settings.root_path
        )

    def secrets_of(self, owner: str) -> Sequence[str]:
        """What signs an owner's webhooks, the one to use first: its own secrets, or those made from the service's."""
        return self._api_keys.webhook_secrets(owner) or secrets_of(owner, self._service_secrets)

    async def deliver(self, stream: Stream, on_outcome: Callable[[str], None]) -> None:
        """Delivers what happens to the stream's jobs until it is cancelled."""
        # A gateway without webhooks needs no HTTP client and no worker: 14 MB.
        from workers.webhooks.worker import deliver_webhooks

        await deliver_webhooks(stream, pushed_document, self._terms, on_outcome, self._tracer)

    async def close(self) -> None:
        """Closes the connections."""
        await self.queue.close()
