"""The worker of the internal queue of deliveries, which runs beside a gateway's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arq.worker import func

from workers.webhooks.delivery import Delivery
from workers.webhooks.queue import delivery_settings
from workers.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

    from workers.stream import Stream
    from workers.webhooks.message import MakeDocument
    from workers.webhooks.queue import DeliveryTerms

# Deliveries of one gateway that run or wait for their host at the same time.
MOST_DELIVERIES = 1_000
# A delivery ends by its age, not by how often it was tried.
_ANY_ATTEMPTS = 1_000_000
# Its longest wait for a place of its host, and its request.
_JOB_TIMEOUT_S = 600.0
_KEEP_S = 60
_FUNCTION = "deliver"


async def deliver_webhooks(
    stream: Stream,
    document_of: MakeDocument,
    terms: DeliveryTerms,
    on_outcome: Callable[[str], None],
    tracer: Tracer | None = None,
) -> None:
    """Delivers until it is cancelled; then what runs is handed back, and another gateway goes on with it.

    `stream` is the queue whose jobs are told of, `document_of` makes a job's document of its record. With a `tracer`
    each try has a span.
    """
    delivery = Delivery(stream, document_of, terms, on_outcome, tracer)
    await delivery.open()
    worker = Worker(
        [func(delivery.deliver, name=_FUNCTION, keep_result=_KEEP_S, timeout=_JOB_TIMEOUT_S, max_tries=_ANY_ATTEMPTS)],
        settings=delivery_settings(stream.settings),
        handle_signals=False,
        max_jobs=MOST_DELIVERIES,
    )
    try:
        await worker.main()
    finally:
        await worker.close()
        await delivery.close()
