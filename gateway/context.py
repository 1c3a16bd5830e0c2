"""What the endpoints work with; one of each per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.http.api_keys import ApiKeys
    from gateway.metrics import Metrics
    from gateway.settings import GatewaySettings
    from gateway.waiting import Waiters
    from workers.stream import Stream


@dataclass(frozen=True, slots=True)
class Parts:
    """Handed to every endpoint, in its `Call`."""

    settings: GatewaySettings
    stream: Stream
    api_keys: ApiKeys
    waiters: Waiters
    metrics: Metrics
    openapi: dict[str, Any]
