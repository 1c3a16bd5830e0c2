"""What the endpoints work with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from gateway.deliveries import Webhooks
    from gateway.http.api_keys import ApiKeys
    from gateway.http.connection.budget import ByteBudget
    from gateway.metrics import QueueMetrics
    from gateway.schemas.live import ModelSchemas
    from gateway.settings import GatewaySettings
    from gateway.stores.results import LargeResults
    from gateway.stores.staging import Staging
    from gateway.stores.stored import StoredJsons
    from gateway.waits.waiting import Waiters
    from workers.objects.store import ObjectStore
    from workers.stream import Stream


@dataclass(frozen=True, slots=True)
class Context:
    """Every endpoint's first argument; there is one per queue, and `queues` are all of them.

    `openapi` is the document of /openapi.json, `functions` are those that may be pushed, and `status_path` followed by
    a job's id is its `Location`. Without `webhooks` there are none; without `objects` and `stored` OBJECT_STORE names
    no store. `uploads` are places of pushes that send files. With several queues, ids of new jobs begin with the `mark`
    of theirs.
    """

    settings: GatewaySettings
    stream: Stream
    api_keys: ApiKeys
    waiters: Waiters
    results: LargeResults
    metrics: QueueMetrics
    budget: ByteBudget
    openapi: dict[str, Any]
    functions: frozenset[str]
    status_path: str
    schemas: ModelSchemas
    webhooks: Webhooks | None
    staging: Staging
    objects: ObjectStore | None
    stored: StoredJsons | None
    uploads: asyncio.Semaphore
    mark: str
    queues: list[Context]

    def new_id(self, chars: int = 32) -> str:
        """An id for a job or a batch of this queue: so many hexadecimal digits, the mark and random ones."""
        return self.mark + os.urandom((chars - len(self.mark)) // 2).hex()
