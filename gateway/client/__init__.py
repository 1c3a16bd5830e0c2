"""The client of the API: `AsyncClient` for asyncio, and `Client`, its blocking face.

It imports nothing else of this project, so that it can be installed alone, as the package `leadtime`.
"""

from __future__ import annotations

from .batches import AsyncBatch, BatchOutcome
from .blocking.client import BlockingBatch, BlockingJob, Client
from .client import AsyncClient
from .errors import (
    CancelledJob,
    ConflictingState,
    FailedJob,
    GatewayUnavailable,
    JobNotFinished,
    LeadtimeError,
    LimitReached,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServerFault,
    UnprocessableInput,
    WaitOver,
    WebhookRefused,
)
from .files import Upload
from .jobs import AsyncJob, ToldEvent
from .options import JobStatus, SubmitOptions
from .queues.figures import QueueFigures
from .webhooks import WebhookEvent, verified_webhook

__all__ = [
    "AsyncBatch",
    "AsyncClient",
    "AsyncJob",
    "BatchOutcome",
    "BlockingBatch",
    "BlockingJob",
    "CancelledJob",
    "Client",
    "ConflictingState",
    "FailedJob",
    "GatewayUnavailable",
    "JobNotFinished",
    "JobStatus",
    "LeadtimeError",
    "LimitReached",
    "NotAuthorized",
    "NotFound",
    "QueueFigures",
    "RequestRefused",
    "ServerFault",
    "SubmitOptions",
    "ToldEvent",
    "UnprocessableInput",
    "Upload",
    "WaitOver",
    "WebhookEvent",
    "WebhookRefused",
    "verified_webhook",
]
